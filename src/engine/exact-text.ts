/**
 * Texts of the engine with all of their characters. Its package reads them with a decoder that takes
 * U+FEFF at the start of a text for a byte order mark and drops it: a key would be another one.
 */
import { textDecoder } from '@duckdb/node-api/lib/vectors/dataAccessors.js'

/** From here on every text of the engine in this process is read whole; calling it again is harmless. */
export function readTextsWhole(): void {
  const whole = new TextDecoder('utf-8', { ignoreBOM: true })
  Object.defineProperty(textDecoder, 'decode', {
    value: (bytes: Uint8Array): string => whole.decode(bytes),
    configurable: true,
  })
}

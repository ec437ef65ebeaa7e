/** Z85, the base-85 of ZeroMQ RFC 32: 4 bytes ↔ 5 characters. Used by deletion vector descriptors. */
import { SluiceError } from '../base/errors.ts'

const alphabet =
  '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'
const valueOf = new Map(alphabet.split('').map((character, value) => [character, value]))

/** `bytes` is padded with zeros to a multiple of 4. */
export function encodeZ85(bytes: Uint8Array): string {
  const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4)
  padded.set(bytes)
  const view = new DataView(padded.buffer)
  let text = ''
  for (let at = 0; at < padded.byteLength; at += 4) {
    let rest = view.getUint32(at)
    let group = ''
    for (let n = 0; n < 5; n++) {
      group = (alphabet[rest % 85] ?? '') + group
      rest = Math.floor(rest / 85)
    }
    text += group
  }
  return text
}

/** Throws DELTA_DELETION_VECTOR_CORRUPT when `text` is not Z85. */
export function decodeZ85(text: string): Uint8Array {
  if (text.length % 5 !== 0) throw notZ85(text)
  const bytes = new Uint8Array((text.length / 5) * 4)
  const view = new DataView(bytes.buffer)
  for (let at = 0; at < text.length; at += 5) {
    let group = 0
    for (const character of text.slice(at, at + 5)) {
      const value = valueOf.get(character)
      if (value === undefined) throw notZ85(text)
      group = group * 85 + value
    }
    if (group > 0xffffffff) throw notZ85(text)
    view.setUint32((at / 5) * 4, group)
  }
  return bytes
}

function notZ85(text: string): SluiceError {
  const shown = text.length > 40 ? `${text.slice(0, 40)}…` : text
  return new SluiceError('DELTA_DELETION_VECTOR_CORRUPT', `"${shown}" is not Z85`)
}

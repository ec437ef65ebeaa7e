/** COPY … TO STDOUT: payload ranges of CopyData go to a decoder where they lie. */
import { SluiceError } from '../../../base/errors.ts'
import { backend, encodeQuery } from './messages.ts'
import { unexpectedType } from './exchange.ts'
import type { WireConnection } from './wire-connection.ts'

export interface CopyOutTarget {
  /** One row in text format with its newline (PostgreSQL documentation, COPY, "Text Format"). */
  row(bytes: Uint8Array, start: number, end: number): void
  /** Defined when reading is to pause. */
  pressure(): Promise<void> | undefined
}

/**
 * Runs one COPY statement. Aborting destroys the connection: its server process ends at the next
 * write. Whatever `target` throws does so too and is what this rejects with.
 */
export async function copyOut(
  connection: WireConnection,
  statement: { readonly sql: string; readonly doing: string },
  target: CopyOutTarget,
  signal: AbortSignal,
): Promise<void> {
  const { sql, doing } = statement
  const stop = (): void => connection.destroy()
  if (signal.aborted) throw new SluiceError('ABORTED', `Stopped before ${doing}`)
  signal.addEventListener('abort', stop, { once: true })
  try {
    await connection.run(encodeQuery(sql), {
      doing,
      message: (type, bytes, start, end) => {
        if (type === backend.copyData) target.row(bytes, start, end)
        else if (type === backend.copyOutResponse) expectText(bytes, start)
        else if (type !== backend.copyDone && type !== backend.commandComplete) {
          throw unexpectedType(type, doing)
        }
        return undefined
      },
      readDone: () => target.pressure(),
    })
  } catch (error) {
    if (signal.aborted) throw new SluiceError('ABORTED', `Stopped ${doing}`, { cause: error })
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

/** CopyOutResponse: Int8 overall format, 0 for text. */
function expectText(bytes: Buffer, start: number): void {
  if (bytes[start] !== 0) {
    throw new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', 'The copy comes in binary format')
  }
}

/** Logical messages, which anybody may write into the log (message `M`). */
import { MessageReader } from './message-reader.ts'

export interface LogicalMessage {
  /** It counts if and when its transaction commits, at its place among the rows. */
  readonly isTransactional: boolean
  readonly prefix: string
  readonly content: Buffer
}

/** The content is a view of `bytes`. */
export function readLogicalMessage(bytes: Buffer, start: number, end: number): LogicalMessage {
  const reader = new MessageReader(bytes, start, end)
  const isTransactional = (reader.uint8() & 1) === 1
  reader.lsn()
  const prefix = reader.text()
  const length = reader.uint32()
  reader.skip(length)
  reader.finish()
  return { isTransactional, prefix, content: bytes.subarray(end - length, end) }
}

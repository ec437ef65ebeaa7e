/** Messages that carry nothing for us. */
import { MessageReader } from './message-reader.ts'
import { messageType } from './message-type.ts'

/** Origin, type and logical messages carry nothing for us, but must be whole. */
export function readIgnored(bytes: Uint8Array, start: number, end: number): void {
  const reader = new MessageReader(bytes, start, end)
  switch (bytes[start]) {
    case messageType.origin:
      reader.lsn()
      reader.text()
      break
    case messageType.type:
      reader.uint32()
      reader.text()
      reader.text()
      break
    default:
      reader.uint8()
      reader.lsn()
      reader.text()
      reader.skip(reader.uint32())
  }
  reader.finish()
}

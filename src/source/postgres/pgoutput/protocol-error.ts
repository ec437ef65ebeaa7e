/** The one way the pgoutput decoder complains about bytes. */
import { SluiceError } from '../../../base/errors.ts'

/** `type` is the message's first byte, `offset` is counted from it. */
export function unexpectedMessage(type: number, offset: number, what: string): SluiceError {
  const name =
    type >= 33 && type <= 126 ? `'${String.fromCharCode(type)}'` : `0x${type.toString(16)}`
  return new SluiceError(
    'SOURCE_PROTOCOL_UNEXPECTED',
    `pgoutput message ${name}, byte ${offset}: ${what}.`,
  )
}

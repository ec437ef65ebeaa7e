/** 64-bit LSN, a place in PostgreSQL's write-ahead log: text ↔ bigint (datatype pg_lsn). */
import { SluiceError } from '../../base/errors.ts'

/** Byte offset in the write-ahead log of one timeline. */
export type Lsn = bigint & { readonly brand: 'Lsn' }

export const zeroLsn = 0n as Lsn

/** `16/B374D848`. Throws SOURCE_PROTOCOL_UNEXPECTED for anything else. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (match === null) {
    throw new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `"${text.slice(0, 40)}" is not an LSN`)
  }
  return ((BigInt(`0x${match[1] ?? ''}`) << 32n) | BigInt(`0x${match[2] ?? ''}`)) as Lsn
}

/** As the server prints it: two hexadecimal halves without leading zeros. */
export function formatLsn(lsn: Lsn): string {
  const high = (lsn >> 32n).toString(16)
  const low = (lsn & 0xffffffffn).toString(16)
  return `${high}/${low}`.toUpperCase()
}

/** The big-endian LSN at `offset`. */
export function readLsn(buffer: Buffer, offset: number): Lsn {
  return buffer.readBigUInt64BE(offset) as Lsn
}

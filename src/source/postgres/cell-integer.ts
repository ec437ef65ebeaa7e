/** Integers from decimal digits, without strings and without BigInt. */
import type { Int32Builder, Int64Builder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45
const zero = 48

/** int2 and int4: `-?[0-9]+`, no smaller than `smallest` and no larger than `-smallest - 1`. */
export function appendInt32(
  builder: Int32Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
  smallest: number,
): void {
  const negative = start < end && bytes[start] === minus
  const first = negative ? start + 1 : start
  const value = readDigits(bytes, first, end, start, 'an integer')
  const signed = negative ? -value : value
  if (first === end || end - first > 10 || signed < smallest || signed >= -smallest) {
    throw malformedCell('an integer of its size', end - start)
  }
  builder.append(signed)
}

/** int8: `-?[0-9]+`. */
export function appendInt64(
  builder: Int64Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  const negative = start < end && bytes[start] === minus
  const first = negative ? start + 1 : start
  const count = end - first
  if (count <= 15 && count > 0) {
    const value = readDigits(bytes, first, end, start, 'int8')
    builder.appendNumber(negative ? -value : value)
    return
  }
  if (count === 0 || count > 19) throw malformedCell('int8', end - start)
  const split = end - 9
  const head = readDigits(bytes, first, split, start, 'int8')
  const tail = readDigits(bytes, split, end, start, 'int8')
  if (!appendScaled(builder, negative, head, tail)) throw malformedCell('int8', end - start)
}

/** The number that `bytes[start, end)` spells; exact up to 15 digits. `cell` is where the cell starts. */
export function readDigits(
  bytes: Uint8Array,
  start: number,
  end: number,
  cell: number,
  type: string,
): number {
  let value = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - zero
    if (digit < 0 || digit > 9) throw malformedCell(type, at - cell)
    value = value * 10 + digit
  }
  return value
}

/**
 * Appends ±(head · 10⁹ + tail) as two 32-bit words; head < 10¹⁰, tail < 10⁹. Returns false, and
 * appends nothing, when it does not fit 64 bits.
 */
export function appendScaled(
  builder: Int64Builder,
  negative: boolean,
  head: number,
  tail: number,
): boolean {
  // head · 10⁹ + tail = upper · 2¹⁶ + lower; every intermediate number is below 2⁵³.
  const headUpper = Math.floor(head / 65536)
  const lower = (head - headUpper * 65536) * 1e9 + tail
  const lowerUpper = Math.floor(lower / 65536)
  const upper = headUpper * 1e9 + lowerUpper
  let high = Math.floor(upper / 65536)
  let low = ((upper - high * 65536) * 65536 + (lower - lowerUpper * 65536)) >>> 0
  if (high >= 0x80000000 && !(negative && high === 0x80000000 && low === 0)) return false
  if (negative) {
    low = -low >>> 0
    high = low === 0 ? -high : ~high
  }
  builder.appendWords(low, high)
  return true
}

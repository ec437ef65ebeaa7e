/** Integers from decimal digits, without strings and without BigInt. */
import type { Int32Builder, Int64Builder } from '../../columnar/column-builder.ts'
import { readDigits } from './cell-digits.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45

/** int2 and int4: `-?[0-9]+`, no smaller than `smallest` and no larger than `-smallest - 1`. */
export function appendInt32(
  builder: Int32Builder,
  bytes: DataView,
  start: number,
  end: number,
  smallest: number,
): void {
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  const count = end - first
  const value =
    count <= 9
      ? readDigits(bytes, first, end)
      : readDigits(bytes, first, end - 9) * 1e9 + readDigits(bytes, end - 9, end)
  const signed = negative ? -value : value
  if (count === 0 || count > 10 || signed < smallest || signed >= -smallest) {
    throw malformedCell('an integer of its size', count)
  }
  builder.append(signed)
}

/** int8: `-?[0-9]+`. */
export function appendInt64(
  builder: Int64Builder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  const count = end - first
  if (count === 0 || count > 19) throw malformedCell('int8', count)
  if (count <= 9) {
    const value = readDigits(bytes, first, end)
    builder.appendNumber(negative ? -value : value)
    return
  }
  const split = end - 9
  const head = count === 19 ? readTen(bytes, first) : readDigits(bytes, first, split)
  if (!appendScaled(builder, negative, head, readDigits(bytes, split, end))) {
    throw malformedCell('int8', count)
  }
}

function readTen(bytes: DataView, start: number): number {
  return readDigits(bytes, start, start + 1) * 1e9 + readDigits(bytes, start + 1, start + 10)
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
  if (head < 9e6) {
    const value = head * 1e9 + tail
    builder.appendNumber(negative ? -value : value)
    return true
  }
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

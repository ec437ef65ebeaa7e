/**
 * `numeric(p,s)` text to unscaled integers, in 32-bit words. PostgreSQL prints exactly `scale`
 * fraction digits, so the place of the point is known. NaN and infinities cannot be held: the
 * functions then return false and append nothing.
 */
import type {
  Decimal128Builder,
  Int32Builder,
  Int64Builder,
} from '../../columnar/column-builder.ts'
import { readDigits } from './cell-digits.ts'
import { malformedCell } from './cell-error.ts'
import { appendScaled } from './cell-integer.ts'

const minus = 45
const point = 46
const zero = 48
const letterI = 73
const letterN = 78

export interface DecimalShape {
  readonly precision: number
  readonly scale: number
}

/** True for NaN and ±Infinity, the only words that numeric prints. */
function isDecimalWord(bytes: DataView, start: number, end: number): boolean {
  const first = bytes.getUint8(start)
  const letter = first === minus && start + 1 < end ? bytes.getUint8(start + 1) : first
  return letter === letterN || letter === letterI
}

/**
 * Checks the frame of a number that starts (after its sign) at `first`; returns its count of
 * digits without a lone leading zero. That the bytes are digits is checked when they are read.
 */
function countDigits(bytes: DataView, first: number, end: number, shape: DecimalShape): number {
  const { precision, scale } = shape
  if (end === first) throw malformedCell('numeric', 0)
  const pointAt = end - scale - 1
  if (scale > 0 && (pointAt <= first || bytes.getUint8(pointAt) !== point)) {
    throw malformedCell('numeric', Math.max(0, pointAt - first))
  }
  let count = scale > 0 ? end - first - 1 : end - first
  if (count > scale && bytes.getUint8(first) === zero) count--
  if (count > precision) throw malformedCell('numeric', end - first)
  return count
}

/** Offset of the byte where the last `count` digits begin. */
function tailStart(end: number, count: number, scale: number): number {
  return count <= scale || scale === 0 ? end - count : end - count - 1
}

/** Powers of ten below 10⁹. */
const powers = Int32Array.from({ length: 10 }, (_, exponent) => 10 ** exponent)

/** The number of at most nine digits in `bytes[start, end)`, stepping over the byte at `pointAt`. */
function readAround(bytes: DataView, start: number, end: number, pointAt: number): number {
  if (pointAt < start || pointAt >= end) return readDigits(bytes, start, end)
  const whole = readDigits(bytes, start, pointAt)
  return whole * (powers[end - pointAt - 1] as number) + readDigits(bytes, pointAt + 1, end)
}

/** Precision 1 to 9. */
export function appendDecimal32(
  builder: Int32Builder,
  bytes: DataView,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  countDigits(bytes, first, end, shape)
  const value = readAround(bytes, first, end, pointOffset(end, shape.scale))
  builder.append(negative ? -value : value)
  return true
}

/** Precision 10 to 18. */
export function appendDecimal64(
  builder: Int64Builder,
  bytes: DataView,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  const pointAt = pointOffset(end, shape.scale)
  if (countDigits(bytes, first, end, shape) <= 9) {
    const value = readAround(bytes, first, end, pointAt)
    builder.appendNumber(negative ? -value : value)
    return true
  }
  const split = tailStart(end, 9, shape.scale)
  const head = readAround(bytes, first, split, pointAt)
  return appendScaled(builder, negative, head, readAround(bytes, split, end, pointAt))
}

/** Low word first; reading is synchronous, so one scratch serves all. */
const words = new Uint32Array(4)

/** Precision 19 to 38. */
export function appendDecimal128(
  builder: Decimal128Builder,
  bytes: DataView,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  const { scale } = shape
  const pointAt = pointOffset(end, scale)
  const count = countDigits(bytes, first, end, shape)
  words.fill(0)
  // Groups of nine digits, the leftmost one first and possibly shorter.
  let from = first
  for (let left = Math.max(0, Math.ceil(count / 9) - 1) * 9; left >= 0; left -= 9) {
    const to = tailStart(end, left, scale)
    multiplyAndAdd(readAround(bytes, from, to, pointAt))
    from = to
  }
  if (negative) negate()
  builder.appendWords(
    words[3] as number,
    words[2] as number,
    words[1] as number,
    words[0] as number,
  )
  return true
}

function pointOffset(end: number, scale: number): number {
  return scale > 0 ? end - scale - 1 : -1
}

/** words = words · 10⁹ + group, by halves of 16 bits so that no product exceeds 2⁵³. */
function multiplyAndAdd(group: number): void {
  let carry = group
  for (let at = 0; at < 4; at++) {
    const word = words[at] as number
    const lower = (word & 0xffff) * 1e9 + carry
    const lowerUpper = Math.floor(lower / 65536)
    const upper = (word >>> 16) * 1e9 + lowerUpper
    const upperUpper = Math.floor(upper / 65536)
    words[at] = (upper - upperUpper * 65536) * 65536 + (lower - lowerUpper * 65536)
    carry = upperUpper
  }
}

function negate(): void {
  let carry = 1
  for (let at = 0; at < 4; at++) {
    const word = (~(words[at] as number) >>> 0) + carry
    words[at] = word
    carry = word > 0xffffffff ? 1 : 0
  }
}

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
import { malformedCell } from './cell-error.ts'
import { appendScaled, readDigits } from './cell-integer.ts'

const minus = 45
const point = 46
const zero = 48

export interface DecimalShape {
  readonly precision: number
  readonly scale: number
}

/** True for NaN and ±Infinity, the only words that numeric prints. */
export function isDecimalWord(bytes: Uint8Array, start: number, end: number): boolean {
  const at = bytes[start] === minus ? start + 1 : start
  return at < end && (bytes[at] === 78 || bytes[at] === 73)
}

/**
 * Checks the frame of a number that starts (after its sign) at `first`; returns its count of
 * digits without a lone leading zero. That the bytes are digits is checked when they are read.
 */
function countDigits(bytes: Uint8Array, first: number, end: number, shape: DecimalShape): number {
  const { precision, scale } = shape
  const pointAt = end - scale - 1
  if (scale > 0 && (pointAt <= first || bytes[pointAt] !== point)) {
    throw malformedCell('numeric', Math.max(0, pointAt - first))
  }
  let count = scale > 0 ? end - first - 1 : end - first
  if (count > scale && bytes[first] === zero) count--
  if (end === first || count > precision) throw malformedCell('numeric', end - first)
  return count
}

/** Offset of the byte where the last `count` digits begin. */
function tailStart(end: number, count: number, scale: number): number {
  return count <= scale || scale === 0 ? end - count : end - count - 1
}

/** The number of at most nine digits in `bytes[start, end)`, stepping over the byte at `pointAt`. */
function readAround(bytes: Uint8Array, start: number, end: number, pointAt: number): number {
  if (pointAt < start || pointAt >= end) return readDigits(bytes, start, end)
  let value = 0
  let wrong = 0
  for (let at = start; at < pointAt; at++) {
    const digit = (bytes[at] as number) - zero
    wrong |= digit | (9 - digit)
    value = (Math.imul(value, 10) + digit) | 0
  }
  for (let at = pointAt + 1; at < end; at++) {
    const digit = (bytes[at] as number) - zero
    wrong |= digit | (9 - digit)
    value = (Math.imul(value, 10) + digit) | 0
  }
  if (wrong < 0) throw malformedCell('numeric', 0)
  return value
}

/** Precision 1 to 9. */
export function appendDecimal32(
  builder: Int32Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes[start] === minus
  const first = negative ? start + 1 : start
  countDigits(bytes, first, end, shape)
  const value = readAround(bytes, first, end, pointOffset(end, shape.scale))
  builder.append(negative ? -value : value)
  return true
}

/** Precision 10 to 18. */
export function appendDecimal64(
  builder: Int64Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes[start] === minus
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
  bytes: Uint8Array,
  start: number,
  end: number,
  shape: DecimalShape,
): boolean {
  if (isDecimalWord(bytes, start, end)) return false
  const negative = bytes[start] === minus
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

/** float4 and float8 text to the IEEE number that PostgreSQL meant, bit for bit. */
import type { Float32Builder, Float64Builder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45
const point = 46
const zero = 48

/** Powers of ten that a double holds exactly. */
const powers = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))

/** Plain decimals of at most 17 digits without strings; everything else goes through `Number`. */
function readFloat(bytes: DataView, start: number, end: number): number {
  const negative = bytes.getUint8(start) === minus
  const first = negative ? start + 1 : start
  // The first nine digits and those after them: integer arithmetic is faster than float.
  let head = 0
  let tail = 0
  let count = 0
  let pointAt = end
  for (let at = first; at < end; at++) {
    const digit = bytes.getUint8(at) - zero
    if (digit >= 0 && digit <= 9) {
      if (count < 9) head = (Math.imul(head, 10) + digit) | 0
      else tail = (Math.imul(tail, 10) + digit) | 0
      // Leading zeros do not count.
      if (head !== 0) count++
    } else if (digit === point - zero && pointAt === end && at > first) {
      pointAt = at
    } else {
      return readOther(bytes, start, end)
    }
  }
  const fraction = pointAt === end ? 0 : end - pointAt - 1
  const isWhole = first < end && pointAt !== end - 1
  if (!isWhole || count > 17 || fraction > 22) return readOther(bytes, start, end)
  const tailPower = count <= 9 ? 1 : (powers[count - 9] as number)
  if (count > 15) {
    const value = divideLong(head, tailPower, tail, powers[fraction] as number)
    if (Number.isNaN(value)) return readOther(bytes, start, end)
    return negative ? -value : value
  }
  // Dividend and divisor are exact, so that the one division rounds correctly.
  const value = (head * tailPower + tail) / (powers[fraction] as number)
  return negative ? -value : value
}

/** Splits a double into two halves of 26 bits (Veltkamp). */
const splitter = 134217729

/**
 * (head · power + tail) / divisor, correctly rounded, for a dividend of up to 57 bits; NaN when
 * it lies too near the middle of two doubles to tell. head < 2³⁰, power and tail < 2²⁷, and the
 * divisor an exact power of ten. All steps are exact but the two divisions, whose error Dekker's
 * product recovers.
 */
function divideLong(head: number, power: number, tail: number, divisor: number): number {
  const upper = (head >>> 15) * power * 32768
  const lower = (head & 32767) * power + tail
  const sum = upper + lower
  const sumRest = lower - (sum - upper)
  const quotient = sum / divisor
  const product = quotient * divisor
  const quotientSplit = splitter * quotient
  const quotientHigh = quotientSplit - (quotientSplit - quotient)
  const quotientLow = quotient - quotientHigh
  const divisorSplit = splitter * divisor
  const divisorHigh = divisorSplit - (divisorSplit - divisor)
  const divisorLow = divisor - divisorHigh
  const crossed = quotientHigh * divisorLow + quotientLow * divisorHigh
  const productRest = quotientHigh * divisorHigh - product + crossed + quotientLow * divisorLow
  const correction = (sum - product - productRest + sumRest) / divisor
  // The correction is exact to far better than one part in 2³⁰: if that does not move the result,
  // the result is the right one.
  const slack = correction * 2 ** -30
  const value = quotient + (correction - slack)
  return value === quotient + (correction + slack) ? value : Number.NaN
}

const numberShape = /^(?:-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Infinity)|NaN)$/

function cellText(bytes: DataView, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1')
}

/** Long digits, exponents, NaN and ±Infinity. */
function readOther(bytes: DataView, start: number, end: number): number {
  const text = cellText(bytes, start, end)
  if (!numberShape.test(text)) throw malformedCell('a floating-point number', 0)
  return Number(text)
}

export function appendFloat64(
  builder: Float64Builder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  builder.append(readFloat(bytes, start, end))
}

export function appendFloat32(
  builder: Float32Builder,
  bytes: DataView,
  start: number,
  end: number,
): void {
  const value = readFloat(bytes, start, end)
  wide[0] = value
  // The middle of two floats, as a double, ends in 28 zero bits at least.
  const mayBeMiddle = ((wideWords[0] as number) & 0xfffffff) === 0
  if (mayBeMiddle && Number.isFinite(value) && Math.fround(value) !== value) {
    builder.append(roundFromMiddle(value, cellText(bytes, start, end)))
  } else {
    builder.append(value)
  }
}

const wide = new Float64Array(1)
/** Low word first, as on every machine Node runs on. */
const wideWords = new Int32Array(wide.buffer)

/**
 * `value` may be the exact middle of two floats only because the text was rounded to a double
 * first; then rounding it again would go the wrong way. Moves it to the text's side.
 */
function roundFromMiddle(value: number, text: string): number {
  const side = compareWithText(Math.abs(value), text.replace(/^-/, ''))
  if (side === 0) return Math.fround(value)
  wide[0] = value
  const bits = wideBits[0] as bigint
  wideBits[0] = side < 0 ? bits + 1n : bits - 1n
  return Math.fround(wide[0])
}

const wideBits = new BigInt64Array(wide.buffer)

/** Sign of `value` minus the number that `text` spells, exactly; both positive. */
function compareWithText(value: number, text: string): number {
  const [mantissa = '', exponentText = '0'] = text.split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  const digits = BigInt(whole + fraction)
  const exponent = Number(exponentText) - fraction.length
  // value = significand / 2¹⁰⁷⁴ exactly, for every double.
  wide[0] = value
  const bits = wideBits[0] as bigint
  const biased = bits >> 52n
  const significand =
    biased === 0n ? bits : ((bits & 0xfffffffffffffn) | (1n << 52n)) << (biased - 1n)
  const scale = 10n ** BigInt(Math.abs(exponent))
  const left = exponent < 0 ? significand * scale : significand
  const right = (exponent < 0 ? digits : digits * scale) << 1074n
  return left < right ? -1 : left > right ? 1 : 0
}

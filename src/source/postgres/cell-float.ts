/** float4 and float8 text to the IEEE number that PostgreSQL meant, bit for bit. */
import type { Float32Builder, Float64Builder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45
const point = 46
const zero = 48

/** Powers of ten that a double holds exactly. */
const powers = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`))

/**
 * Exact when the digits fit a double and the power of ten is exact: then one correctly rounded
 * operation gives the correctly rounded result. Everything else goes through `Number`.
 */
function readFloat(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === minus
  let value = 0
  let digits = 0
  let fraction = -1
  for (let at = negative ? start + 1 : start; at < end; at++) {
    const byte = bytes[at] as number
    const digit = byte - zero
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit
      if (value > 0) digits++
      if (fraction >= 0) fraction++
    } else if (byte === point && fraction < 0) {
      fraction = 0
    } else {
      return readOther(bytes, start, end)
    }
  }
  if (digits > 15 || fraction > 22 || (digits === 0 && value !== 0)) {
    return readOther(bytes, start, end)
  }
  if (fraction > 0) value /= powers[fraction] as number
  return negative ? -value : value
}

/** Long digits, exponents, NaN and ±Infinity. */
function readOther(bytes: Uint8Array, start: number, end: number): number {
  let text = ''
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] as number)
  const value = Number(text)
  if (text === '' || (Number.isNaN(value) && text !== 'NaN')) {
    throw malformedCell('a floating-point number', 0)
  }
  return value
}

export function appendFloat64(
  builder: Float64Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (start === end) throw malformedCell('float8', 0)
  builder.append(readFloat(bytes, start, end))
}

export function appendFloat32(
  builder: Float32Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (start === end) throw malformedCell('float4', 0)
  builder.append(readFloat(bytes, start, end))
}

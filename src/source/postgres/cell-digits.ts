/**
 * Decimal digits to numbers, four bytes at a time. Results are -1 where a byte is no digit, so
 * that callers can or several together and look once.
 */
import { malformedCell } from './cell-error.ts'

/** Value of the two digits at `at`, or -1. */
export function twoDigits(bytes: DataView, at: number): number {
  const word = bytes.getUint16(at)
  // Digits are 0x30 to 0x39: the high half is 3, also after adding 6.
  const isDigits = ((word & 0xf0f0) | (((word + 0x0606) & 0xf0f0) >> 4)) === 0x3333
  return isDigits ? ((word >> 8) & 15) * 10 + (word & 15) : -1
}

/** Value of the four digits at `at`, or -1. */
export function fourDigits(bytes: DataView, at: number): number {
  const word = bytes.getInt32(at)
  const high = word & 0xf0f0f0f0
  const highOfSum = (word + 0x06060606) & 0xf0f0f0f0
  if ((high | (highOfSum >>> 4)) !== 0x33333333) return -1
  const digits = word & 0x0f0f0f0f
  const pairs = ((digits >> 8) & 0x00ff00ff) * 10 + (digits & 0x00ff00ff)
  return (pairs >> 16) * 100 + (pairs & 0xffff)
}

/** Value of the digits in `bytes[start, end)`, at most nine, or negative. */
function upToNineDigits(bytes: DataView, start: number, end: number): number {
  let value = 0
  let wrong = 0
  let at = start
  for (; at + 4 <= end; at += 4) {
    const four = fourDigits(bytes, at)
    wrong |= four
    value = (Math.imul(value, 10000) + four) | 0
  }
  for (; at < end; at++) {
    const digit = bytes.getUint8(at) - 48
    wrong |= digit | (9 - digit)
    value = (Math.imul(value, 10) + digit) | 0
  }
  return wrong < 0 ? -1 : value
}

/** The number of at most nine digits in `bytes[start, end)`; throws when it is not one. */
export function readDigits(bytes: DataView, start: number, end: number): number {
  const value = upToNineDigits(bytes, start, end)
  if (value < 0) throw malformedCell('a number', 0)
  return value
}

/**
 * date, timestamp and timestamptz in ISO style to days and microseconds since 1970-01-01.
 * ±infinity, BC and years after 9999 cannot be held: the functions return false and append nothing.
 */
import type { Int32Builder, Int64Builder } from '../../columnar/column-builder.ts'
import { fourDigits, readDigits, twoDigits } from './cell-digits.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45
const plus = 43
const colon = 58
const point = 46
const space = 32
const zero = 48
const lettersBC = 0x4243
const letterI = 105

const secondsPerDay = 86400
/** 0001-01-01T00:00:00 and 10000-01-01T00:00:00 in seconds since 1970. */
const firstSecond = -62135596800
const endSecond = 253402300800
const monthLengths = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

/**
 * Days from 1970-01-01 to a day of the proleptic Gregorian calendar, year 0 or later. Years are
 * counted from 1 March so that the leap day is the last of its year.
 */
function daysFromCivil(year: number, month: number, day: number): number {
  const shifted = month > 2 ? year : year - 1
  const dayOfYear = (((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) | 0) + day - 1
  const century = (shifted / 100) | 0
  return shifted * 365 + (shifted >> 2) - century + (century >> 2) + dayOfYear - 719468
}

/** Days of `YYYY-MM-DD` at `at`; throws when it is not one. */
function readDays(bytes: DataView, at: number, cell: number): number {
  const year = fourDigits(bytes, at)
  const month = twoDigits(bytes, at + 5)
  const day = twoDigits(bytes, at + 8)
  const isLeap = (year & 3) === 0 && (year % 100 !== 0 || year % 400 === 0)
  const length = month === 2 && isLeap ? 29 : (monthLengths[month] ?? 0)
  const isFramed = bytes.getUint8(at + 4) === minus && bytes.getUint8(at + 7) === minus
  if (!isFramed || (month | day) < 0 || year < 1 || day < 1 || day > length) {
    throw malformedCell('a date in ISO style (DateStyle must be ISO)', at - cell)
  }
  return daysFromCivil(year, month, day)
}

/** True for ±infinity, BC and years of more than four digits. */
function isBeyondCalendar(bytes: DataView, start: number, end: number): boolean {
  const length = end - start
  if (length < 10) {
    const isNegative = bytes.getUint8(start) === minus
    const letter = isNegative && length > 1 ? bytes.getUint8(start + 1) : bytes.getUint8(start)
    return letter === letterI && length === (isNegative ? 9 : 8)
  }
  // A four-digit year, by far the most likely.
  if (bytes.getUint8(start + 4) === minus) return bytes.getUint16(end - 2) === lettersBC
  const fifth = bytes.getUint8(start + 4) - zero
  return fourDigits(bytes, start) >= 0 && fifth >= 0 && fifth <= 9 && length >= 11
}

export function appendDate(
  builder: Int32Builder,
  bytes: DataView,
  start: number,
  end: number,
): boolean {
  if (isBeyondCalendar(bytes, start, end)) return false
  if (end - start !== 10) throw malformedCell('a date in ISO style (DateStyle must be ISO)', 0)
  builder.append(readDays(bytes, start, start))
  return true
}

/** Seconds east of UTC of `[+-]HH[:MM[:SS]]` in `bytes[at, end)`. */
function readOffset(bytes: DataView, at: number, end: number, cell: number): number {
  const length = end - at
  const isFramed =
    length === 3 ||
    (length === 6 && bytes.getUint8(at + 3) === colon) ||
    (length === 9 && bytes.getUint8(at + 3) === colon && bytes.getUint8(at + 6) === colon)
  const sign = bytes.getUint8(at) === minus ? -1 : bytes.getUint8(at) === plus ? 1 : 0
  if (sign === 0 || !isFramed) throw malformedCell('a timestamp', at - cell)
  const hours = twoDigits(bytes, at + 1)
  const minutes = length > 3 ? twoDigits(bytes, at + 4) : 0
  const seconds = length > 6 ? twoDigits(bytes, at + 7) : 0
  if ((hours | minutes | seconds) < 0) throw malformedCell('a timestamp', at - cell)
  return sign * (hours * 3600 + minutes * 60 + seconds)
}

/** Seconds since midnight of `HH:MM:SS` at `at`. */
function readTime(bytes: DataView, at: number, cell: number): number {
  const hours = twoDigits(bytes, at)
  const minutes = twoDigits(bytes, at + 3)
  const seconds = twoDigits(bytes, at + 6)
  const isFramed =
    bytes.getUint8(at - 1) === space &&
    bytes.getUint8(at + 2) === colon &&
    bytes.getUint8(at + 5) === colon
  if (!isFramed || (hours | minutes | seconds) < 0) {
    throw malformedCell('a timestamp in ISO style (DateStyle must be ISO)', at - cell)
  }
  return hours * 3600 + minutes * 60 + seconds
}

/** Microseconds in one unit of a fraction of so many digits. */
const microsPerUnit = Int32Array.of(0, 100000, 10000, 1000, 100, 10, 1)

/** How many digits, up to six, stand at `at`. */
function fractionDigits(bytes: DataView, at: number, end: number): number {
  let size = 0
  for (; size < 6 && at + size < end; size++) {
    const digit = bytes.getUint8(at + size) - zero
    if (digit < 0 || digit > 9) break
  }
  return size
}

/** `YYYY-MM-DD HH:MM:SS[.f{1,6}]` with, for timestamptz, an offset. */
export function appendTimestamp(
  builder: Int64Builder,
  bytes: DataView,
  start: number,
  end: number,
): boolean {
  if (isBeyondCalendar(bytes, start, end)) return false
  if (end - start < 19) throw malformedCell('a timestamp in ISO style (DateStyle must be ISO)', 0)
  const days = readDays(bytes, start, start)
  let seconds = days * secondsPerDay + readTime(bytes, start + 11, start)
  let at = start + 19
  let micros = 0
  if (at < end && bytes.getUint8(at) === point) {
    at++
    const size = fractionDigits(bytes, at, end)
    if (size === 0) throw malformedCell('a timestamp', at - start)
    micros = readDigits(bytes, at, at + size) * (microsPerUnit[size] as number)
    at += size
  }
  if (at < end) seconds -= readOffset(bytes, at, end, start)
  if (seconds < firstSecond || seconds >= endSecond) return false
  // seconds · 10⁶ = seconds · 15625 · 2⁶; the product stays below 2⁵³.
  const units = seconds * 15625
  const high = Math.floor(units / 67108864)
  const low = (units - high * 67108864) * 64 + micros
  if (low >= 4294967296) builder.appendWords(low - 4294967296, high + 1)
  else builder.appendWords(low, high)
  return true
}

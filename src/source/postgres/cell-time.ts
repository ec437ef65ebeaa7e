/**
 * date, timestamp and timestamptz in ISO style to days and microseconds since 1970-01-01.
 * ±infinity, BC and years after 9999 cannot be held: the functions return false and append nothing.
 */
import type { Int32Builder, Int64Builder } from '../../columnar/column-builder.ts'
import { malformedCell } from './cell-error.ts'

const minus = 45
const plus = 43
const colon = 58
const point = 46
const space = 32
const zero = 48
const letterB = 66
const letterC = 67
const letterI = 105

const secondsPerDay = 86400
/** 0001-01-01T00:00:00 and 10000-01-01T00:00:00 in seconds since 1970. */
const firstSecond = -62135596800
const endSecond = 253402300800
const monthLengths = Uint8Array.of(0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

/**
 * The two digits at `at`; -1 when one of them is no digit. Without a branch, so that callers can
 * or several results together and look once.
 */
function twoDigits(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] as number) - zero
  const ones = (bytes[at + 1] as number) - zero
  return (tens * 10 + ones) | ((tens | (9 - tens) | ones | (9 - ones)) >> 31)
}

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
function readDays(bytes: Uint8Array, at: number, cell: number): number {
  const century = twoDigits(bytes, at)
  const years = twoDigits(bytes, at + 2)
  const year = century * 100 + years
  const month = twoDigits(bytes, at + 5)
  const day = twoDigits(bytes, at + 8)
  const isLeap = (year & 3) === 0 && (year % 100 !== 0 || year % 400 === 0)
  const length = month === 2 && isLeap ? 29 : (monthLengths[month] ?? 0)
  const isFramed = bytes[at + 4] === minus && bytes[at + 7] === minus
  if (!isFramed || (century | years | month | day) < 0 || year < 1 || day < 1 || day > length) {
    throw malformedCell('a date in ISO style (DateStyle must be ISO)', at - cell)
  }
  return daysFromCivil(year, month, day)
}

/** True for ±infinity, BC and years of more than four digits. */
export function isBeyondCalendar(bytes: Uint8Array, start: number, end: number): boolean {
  // A four-digit year, by far the most likely.
  if (bytes[start + 4] === minus) return bytes[end - 1] === letterC && bytes[end - 2] === letterB
  const isNegative = bytes[start] === minus
  if (bytes[isNegative ? start + 1 : start] === letterI) {
    return end - start === (isNegative ? 9 : 8)
  }
  for (let at = start; at < start + 5; at++) {
    const digit = (bytes[at] as number) - zero
    if (!(digit >= 0 && digit <= 9)) return false
  }
  return end - start >= 11
}

export function appendDate(
  builder: Int32Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (isBeyondCalendar(bytes, start, end)) return false
  if (end - start !== 10) throw malformedCell('a date in ISO style (DateStyle must be ISO)', 0)
  builder.append(readDays(bytes, start, start))
  return true
}

/** Seconds east of UTC of `[+-]HH[:MM[:SS]]` in `bytes[at, end)`. */
function readOffset(bytes: Uint8Array, at: number, end: number, cell: number): number {
  const sign = bytes[at] === minus ? -1 : bytes[at] === plus ? 1 : 0
  const length = end - at
  const hours = twoDigits(bytes, at + 1)
  const minutes = length > 3 ? twoDigits(bytes, at + 4) : 0
  const seconds = length > 6 ? twoDigits(bytes, at + 7) : 0
  const isFramed =
    length === 3 ||
    (length === 6 && bytes[at + 3] === colon) ||
    (length === 9 && bytes[at + 3] === colon && bytes[at + 6] === colon)
  if (sign === 0 || !isFramed || (hours | minutes | seconds) < 0) {
    throw malformedCell('a timestamp', at - cell)
  }
  return sign * (hours * 3600 + minutes * 60 + seconds)
}

/** Seconds since midnight of `HH:MM:SS` at `at`. */
function readTime(bytes: Uint8Array, at: number, cell: number): number {
  const hours = twoDigits(bytes, at)
  const minutes = twoDigits(bytes, at + 3)
  const seconds = twoDigits(bytes, at + 6)
  const isFramed = bytes[at - 1] === space && bytes[at + 2] === colon && bytes[at + 5] === colon
  if (!isFramed || (hours | minutes | seconds) < 0) {
    throw malformedCell('a timestamp in ISO style (DateStyle must be ISO)', at - cell)
  }
  return hours * 3600 + minutes * 60 + seconds
}

/** Value of one fraction digit by its place: the first is 100 000 µs. */
const places = Int32Array.of(100000, 10000, 1000, 100, 10, 1)

/** `YYYY-MM-DD HH:MM:SS[.f{1,6}]` with, for timestamptz, an offset. */
export function appendTimestamp(
  builder: Int64Builder,
  bytes: Uint8Array,
  start: number,
  end: number,
): boolean {
  if (isBeyondCalendar(bytes, start, end)) return false
  if (end - start < 19) throw malformedCell('a timestamp in ISO style (DateStyle must be ISO)', 0)
  const days = readDays(bytes, start, start)
  let seconds = days * secondsPerDay + readTime(bytes, start + 11, start)
  let at = start + 19
  let micros = 0
  if (at < end && bytes[at] === point) {
    at++
    for (let place = 0; place < 6 && at < end; place++, at++) {
      const digit = (bytes[at] as number) - zero
      if (digit < 0 || digit > 9) break
      micros += digit * (places[place] as number)
    }
    if (at === start + 20) throw malformedCell('a timestamp', 20)
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

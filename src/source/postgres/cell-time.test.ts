import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeCell,
  decodeCells,
  decodeColumn,
  mapOid,
} from '../../../test/support/decode-cells.ts'
import { typeOid } from './types.ts'

const date = mapOid(typeOid.date)
const timestamp = mapOid(typeOid.timestamp)
const timestamptz = mapOid(typeOid.timestamptz)

const dayMs = 86_400_000
const firstDay = Date.parse('0001-01-01T00:00:00Z') / dayMs
const lastDay = Date.parse('9999-12-31T00:00:00Z') / dayMs

function dateText(days: number): string {
  return new Date(days * dayMs).toISOString().slice(0, 10)
}

/** As PostgreSQL prints a timestamp: without trailing zeros of the fraction. */
function timestampText(micros: bigint): string {
  const fraction = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = Number((micros - fraction) / 1_000_000n)
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')
  if (fraction === 0n) return whole
  return `${whole}.${fraction.toString().padStart(6, '0').replace(/0+$/, '')}`
}

const firstMicro = BigInt(firstDay * dayMs) * 1000n
const lastMicro = BigInt((lastDay + 1) * dayMs) * 1000n - 1n

test('every month from 0001 to 9999 begins and ends on the day the calendar has', () => {
  const days: number[] = [firstDay, lastDay]
  for (let year = 1; year <= 9999; year++) {
    for (let month = 1; month <= 12; month++) {
      const text = `${`${year}`.padStart(4, '0')}-${`${month}`.padStart(2, '0')}-01`
      const day = Date.parse(`${text}T00:00:00Z`) / dayMs
      days.push(day)
      if (day > firstDay) days.push(day - 1)
    }
  }
  const values = decodeCells(date, days.map(dateText))
  expect(values.findIndex((value, index) => value !== BigInt(days[index] ?? 0))).toBe(-1)
})

test('every microsecond of the calendar is exact', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.bigInt({ min: firstMicro, max: lastMicro }),
          fc.bigInt({ min: -3_000_000n, max: 3_000_000n }),
          fc.constantFrom(firstMicro, lastMicro),
        ),
        { maxLength: 50 },
      ),
      (values) => {
        expect(decodeCells(timestamp, values.map(timestampText))).toEqual(values)
        expect(
          decodeCells(
            timestamptz,
            values.map((value) => `${timestampText(value)}+00`),
          ),
        ).toEqual(values)
      },
    ),
    { numRuns: 300 },
  )
})

test('a session time zone other than UTC gives the same instant', () => {
  fc.assert(
    fc.property(
      fc.bigInt({
        min: firstMicro + 60_000_000_000n * 24n,
        max: lastMicro - 60_000_000_000n * 24n,
      }),
      fc.integer({ min: -57599, max: 57599 }),
      (value, east) => {
        const size = Math.abs(east)
        const parts = [size / 3600, (size / 60) % 60, size % 60].map((part) =>
          `${Math.floor(part)}`.padStart(2, '0'),
        )
        if (size % 60 === 0) parts.pop()
        if (size % 3600 === 0) parts.pop()
        const text = `${timestampText(value + BigInt(east) * 1_000_000n)}${east < 0 ? '-' : '+'}${parts.join(':')}`
        expect(decodeCell(timestamptz, text), text).toBe(value)
      },
    ),
  )
})

test('infinities, BC and far years are unfit with their text, are counted and reported once', () => {
  let reports = 0
  const report = (): void => void reports++
  for (const [oid, rest] of [
    [typeOid.date, ''],
    [typeOid.timestamp, ' 23:59:59.999999'],
    [typeOid.timestamptz, ' 23:59:59.999999+00'],
  ] as const) {
    reports = 0
    const mapped = mapOid(oid, -1, { onUnfit: report })
    const texts = [
      'infinity',
      '-infinity',
      `0044-03-15${rest} BC`,
      `4713-01-01${rest} BC`,
      `10000-01-01${rest}`,
      `294276-12-31${rest}`,
    ]
    const column = decodeColumn(mapped, ['2024-02-29'.concat(rest), ...texts])
    expect(column).toMatchObject({ valueCount: 1, nullCount: 6 })
    expect(column.unfit).toEqual({ rows: [1, 2, 3, 4, 5, 6], texts })
    expect(mapped.decoder.unfitCount).toBe(6)
    expect(reports).toBe(1)
    expect(mapped.mayBecomeNull).toBe(true)
  }
})

test('an instant that leaves the calendar by its offset is unfit', () => {
  const texts = ['9999-12-31 23:30:00-01', '0001-01-01 00:30:00+01', '0001-01-01 00:30:00-01']
  expect(decodeCells(timestamptz, texts)).toEqual([null, null, firstMicro + 5_400_000_000n])
})

test('a key that does not fit keeps its text, and has no NULLs of its own', () => {
  const key = mapOid(typeOid.timestamptz, -1, { isKey: true })
  expect(key.mayBecomeNull).toBe(false)
  expect(decodeColumn(key, ['infinity']).unfit).toEqual({ rows: [0], texts: ['infinity'] })
})

test('text that is no date or timestamp in ISO style is malformed', () => {
  const dates = ['', '2024', '2024-13-01', '2024-00-10', '2024-02-30', '2023-02-29', '1900-02-29']
  const more = [
    '0000-01-01',
    '2024-1-01',
    '01/02/2024',
    '2024-01-32',
    '2024-01-00',
    '20x4-01-01',
    'infinit',
  ]
  const times = [
    '',
    ' 1',
    ' 12:00',
    'T12:00:00',
    ' 12-00:00',
    ' 1a:00:00',
    ' 12:00:00.',
    ' 12:00:00x',
  ]
  const zones = ['+0', '+1:00', '+01:0', '+01:00:0', 'Z', ' UTC', '+01:00:00:00', '.1234567']
  const bad = [
    ...[...dates, ...more].map((text) => [date, text] as const),
    ...[...dates, ...more].map((text) => [timestamp, `${text} 12:00:00`] as const),
    ...times.map((text) => [timestamp, `2024-01-01${text}`] as const),
    ...zones.map((text) => [timestamptz, `2024-01-01 12:00:00${text}`] as const),
  ]
  for (const [mapped, text] of bad) {
    expect(() => decodeCell(mapped, text), text).toThrow(
      expect.objectContaining({ code: 'SOURCE_VALUE_MALFORMED' }),
    )
  }
})

test('the leap day is known', () => {
  expect(decodeCells(date, ['2000-02-29', '2024-02-29', '1970-01-01'])).toEqual([
    11016n,
    19782n,
    0n,
  ])
})

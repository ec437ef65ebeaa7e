/** `add.stats`: exact texts, and reading them back. */
import { expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { deltaStatsJson, parseDeltaStats, withLooseBounds } from './statistics.ts'

function statsOf(type: CanonicalType, min?: string, max?: string): string {
  const bounds = { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) }
  const statistics = { rowCount: 9, columns: [{ name: 'c', nullCount: 2, ...bounds }] }
  return deltaStatsJson(statistics, [{ name: 'c', type }])
}

const decimal: CanonicalType = { kind: 'decimal', precision: 38, scale: 3 }

test.each<[CanonicalType, string, string, string, string]>([
  [
    { kind: 'int64' },
    '-9223372036854775808',
    '9223372036854775807',
    '-9223372036854775808',
    '9223372036854775807',
  ],
  [
    decimal,
    '-99999999999999999999999999999999999.999',
    '0.100',
    '-99999999999999999999999999999999999.999',
    '0.100',
  ],
  [{ kind: 'float64' }, '-1e-7', '1.5e+300', '-1e-7', '1.5e+300'],
  [{ kind: 'date' }, '0001-01-01', '9999-12-31', '"0001-01-01"', '"9999-12-31"'],
  // Cut, never rounded: on either side of 1970 that is towards the past.
  [
    { kind: 'timestamp' },
    '1969-12-31T23:59:59.999999',
    '2024-02-29T00:00:00.000999',
    '"1969-12-31T23:59:59.999Z"',
    '"2024-02-29T00:00:00.000Z"',
  ],
  [
    { kind: 'timestamp_ntz' },
    '1582-10-15T00:00:00.000000',
    '2024-02-29T12:00:00.123456',
    '"1582-10-15T00:00:00.000"',
    '"2024-02-29T12:00:00.123"',
  ],
  [{ kind: 'string' }, 'a"\\\n', 'é😀\u{10FFFF}', '"a\\"\\\\\\n"', '"é😀\u{10FFFF}"'],
])('%j bounds are exact JSON', (type, min, max, minJson, maxJson) => {
  expect(statsOf(type, min, max)).toBe(
    `{"numRecords":9,"minValues":{"c":${minJson}},"maxValues":{"c":${maxJson}},"nullCount":{"c":2},"tightBounds":true}`,
  )
})

test.each<[CanonicalType, string | undefined]>([
  [{ kind: 'int32' }, undefined],
  [{ kind: 'float64' }, 'Infinity'],
  [{ kind: 'float32' }, 'NaN'],
  [{ kind: 'date' }, '10000-01-01'],
  [{ kind: 'timestamp' }, '-0044-03-15T12:00:00.000000'],
  [{ kind: 'boolean' }, 'true'],
  [{ kind: 'binary' }, 'ff'],
  [{ kind: 'array', element: { kind: 'int32' } }, '1'],
])('%j gives no bound of %s', (type, bound) => {
  expect(statsOf(type, bound, bound)).toBe(
    '{"numRecords":9,"minValues":{},"maxValues":{},"nullCount":{"c":2},"tightBounds":true}',
  )
})

test('only the first 32 columns of the table are described, in its order', () => {
  const columns = Array.from({ length: 40 }, (_, n) => ({
    name: `c${n}`,
    type: { kind: 'int32' } as const,
  }))
  const statistics = {
    rowCount: 1,
    columns: columns.toReversed().map(({ name }) => ({ name, nullCount: 0, min: '1', max: '1' })),
  }
  const parsed = parseDeltaStats(deltaStatsJson(statistics, columns))
  expect([...(parsed?.minValues.keys() ?? [])]).toEqual(
    columns.slice(0, 32).map(({ name }) => name),
  )
})

test('parseDeltaStats() keeps the digits, and shrugs at what it can not understand', () => {
  const stats = statsOf({ kind: 'int64' }, '-9223372036854775808', '9223372036854775807')
  const parsed = parseDeltaStats(stats)
  expect(parsed?.numRecords).toBe(9)
  expect(parsed?.minValues.get('c')).toBe('-9223372036854775808')
  expect(parsed?.maxValues.get('c')).toBe('9223372036854775807')
  expect(parsed?.tightBounds).toBe(true)
  expect(parseDeltaStats(JSON.stringify({ stats_json: stats }))).toEqual(parsed)
  expect(parseDeltaStats(withLooseBounds(stats))).toEqual({ ...parsed, tightBounds: false })
  expect(withLooseBounds('{"numRecords":3}')).toBe('{"numRecords":3,"tightBounds":false}')
  for (const odd of [
    undefined,
    '',
    'null',
    '{}',
    '[]',
    '{"numRecords":-1}',
    '{"numRecords":1.5}',
    '{"stats_json":7}',
  ]) {
    expect(parseDeltaStats(odd)).toBeUndefined()
  }
})

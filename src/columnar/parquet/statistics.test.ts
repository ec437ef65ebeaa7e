/** Statistics of chunks and files against brute force and a foreign reader. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { absent, type Cell } from '../../../test/support/cells.ts'
import { encodeFile } from '../../../test/support/encode-file.ts'
import { queryByDuckDb } from '../../../test/support/read-parquet.ts'
import type { ScalarType } from '../canonical-type.ts'
import { lowerBound, upperBound } from './text-bounds.ts'

/** Min and max of the file's one column as the encoder states them. */
async function statedExtremes(
  type: ScalarType,
  ...rowGroups: readonly (readonly Cell[])[]
): Promise<(string | undefined)[]> {
  const { statistics } = await encodeFile(rowGroups.map((cells) => [{ name: 'c', type, cells }]))
  const column = statistics.columns[0]
  const cells = rowGroups.flat()
  expect(statistics.rowCount).toBe(cells.length)
  expect(column?.nullCount).toBe(cells.filter((cell) => cell === null || cell === absent).length)
  return [column?.min, column?.max]
}

const decimal = (precision: number, scale: number): ScalarType => ({
  kind: 'decimal',
  precision,
  scale,
})

test('canonical texts of every type, over several row groups', async () => {
  expect(await statedExtremes({ kind: 'int8' }, [5, null], [-128, 127])).toEqual(['-128', '127'])
  expect(await statedExtremes({ kind: 'int16' }, [-32768], [null])).toEqual(['-32768', '-32768'])
  expect(await statedExtremes({ kind: 'int32' }, [absent, 7], [-2147483648])).toEqual([
    '-2147483648',
    '7',
  ])
  const int64 = [2n ** 63n - 1n, -(2n ** 63n), 2n ** 32n, -1n]
  expect(await statedExtremes({ kind: 'int64' }, int64)).toEqual([
    '-9223372036854775808',
    '9223372036854775807',
  ])
  expect(await statedExtremes({ kind: 'int64' }, [2n ** 31n, 2n ** 32n - 1n])).toEqual([
    '2147483648',
    '4294967295',
  ])
  expect(await statedExtremes(decimal(9, 2), [-5n, 1234n])).toEqual(['-0.05', '12.34'])
  expect(await statedExtremes(decimal(18, 0), [-5n, 1234n])).toEqual(['-5', '1234'])
  expect(await statedExtremes(decimal(18, 18), [1n])).toEqual([
    '0.000000000000000001',
    '0.000000000000000001',
  ])
  const big = 10n ** 38n - 1n
  expect(await statedExtremes(decimal(38, 10), [-big, -1n, 0n, big, 2n ** 64n])).toEqual([
    '-9999999999999999999999999999.9999999999',
    '9999999999999999999999999999.9999999999',
  ])
  expect(await statedExtremes({ kind: 'date' }, [-719162, 0, 2932896])).toEqual([
    '0001-01-01',
    '9999-12-31',
  ])
  expect(await statedExtremes({ kind: 'date' }, [-719163, 2932897])).toEqual([undefined, undefined])
  for (const kind of ['timestamp', 'timestamp_ntz'] as const) {
    const micros = [-1n, 1_700_000_000_123_456n]
    expect(await statedExtremes({ kind }, micros)).toEqual([
      '1969-12-31T23:59:59.999999',
      '2023-11-14T22:13:20.123456',
    ])
    const edges = [-62_135_596_800_000_000n, 253_402_300_799_999_999n]
    expect(await statedExtremes({ kind }, edges)).toEqual([
      '0001-01-01T00:00:00.000000',
      '9999-12-31T23:59:59.999999',
    ])
    const beyond = [-62_135_596_800_000_001n, 253_402_300_800_000_000n]
    expect(await statedExtremes({ kind }, beyond)).toEqual([undefined, undefined])
  }
  expect(await statedExtremes({ kind: 'string' }, ['b', ''], ['a', 'é'])).toEqual(['', 'é'])
})

test('what has no meaningful extremes has none', async () => {
  expect(await statedExtremes({ kind: 'boolean' }, [true, false])).toEqual([undefined, undefined])
  expect(await statedExtremes({ kind: 'binary' }, [new Uint8Array([1])])).toEqual([
    undefined,
    undefined,
  ])
  expect(await statedExtremes({ kind: 'string' }, [null, absent])).toEqual([undefined, undefined])
  expect(await statedExtremes({ kind: 'float64' }, [1], [NaN], [2])).toEqual([undefined, undefined])
  const { statistics } = await encodeFile([
    [
      {
        name: 'c',
        type: { kind: 'array', element: { kind: 'int32' } },
        cells: [[1], null, [null]],
      },
    ],
  ])
  expect(statistics.columns).toEqual([{ name: 'c', nullCount: 1 }])
})

test('floats have the shortest text that reads back equal', async () => {
  const float32 = [0.1, -3.4028234663852886e38, 1e-45].map(Math.fround)
  expect(await statedExtremes({ kind: 'float32' }, float32)).toEqual(['-3.4028235e+38', '0.1'])
  expect(await statedExtremes({ kind: 'float64' }, [0.1, 5e-324])).toEqual(['5e-324', '0.1'])
  expect(await statedExtremes({ kind: 'float64' }, [-Infinity, Infinity])).toEqual([
    '-Infinity',
    'Infinity',
  ])
  await fc.assert(
    fc.asyncProperty(fc.float({ noNaN: true }), async (value) => {
      const [min] = await statedExtremes({ kind: 'float32' }, [value])
      expect(Math.fround(Number(min)) === value).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('long strings are cut to bounds in UTF-8 byte order', () => {
  const bytesOrder = (a: string, b: string): number =>
    Buffer.compare(Buffer.from(a), Buffer.from(b))
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 50 }),
    fc.string({ unit: fc.constantFrom('\uD7FF', '\u{10FFFF}', 'a', '\u{1F600}'), maxLength: 50 }),
  )
  fc.assert(
    fc.property(text, (value) => {
      const lower = lowerBound(value)
      const upper = upperBound(value)
      expect(Array.from(lower.text).length).toBeLessThanOrEqual(32)
      expect(lower.isExact).toBe(Array.from(value).length <= 32)
      expect(bytesOrder(lower.text, value)).toBeLessThanOrEqual(0)
      if (upper === undefined) expect(value.startsWith('\u{10FFFF}'.repeat(32))).toBe(true)
      else {
        expect(Array.from(upper.text).length).toBeLessThanOrEqual(32)
        expect(bytesOrder(upper.text, value)).toBeGreaterThanOrEqual(0)
        expect(upper.isExact).toBe(lower.isExact)
        // Nothing was lost on the way through UTF-8.
        expect(Buffer.from(upper.text).toString()).toBe(upper.text)
      }
    }),
    { numRuns: 1000 },
  )
  expect(upperBound('a'.repeat(31) + '\uD7FFx')?.text).toBe('a'.repeat(31) + '\uE000')
  expect(upperBound('a' + '\u{10FFFF}'.repeat(40))?.text).toBe('b')
})

test('extremes of strings are those of their UTF-8 bytes, whatever their length', async () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'b', '\u0000', 'é'), maxLength: 6 }),
    fc.string({ unit: fc.constantFrom('\uFFFD', '\u{1F600}'), minLength: 30, maxLength: 70 }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 20 }), async (cells) => {
      const sorted = cells.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      const expected = [lowerBound(sorted[0] ?? '').text, upperBound(sorted.at(-1) ?? '')?.text]
      const half = cells.length >> 1
      const groups = [cells.slice(0, half), cells.slice(half)].filter((group) => group.length > 0)
      expect(await statedExtremes({ kind: 'string' }, ...groups)).toEqual(expected)
    }),
    { numRuns: 200 },
  )
})

/** Numbers as extremes, strings and NULLs mixed: the chunk statistics DuckDB reads must be theirs. */
const chunks: readonly { type: ScalarType; sql: string; cells: readonly Cell[] }[] = [
  { type: { kind: 'boolean' }, sql: 'BOOLEAN', cells: [true, null, true] },
  { type: { kind: 'int8' }, sql: 'TINYINT', cells: [-7, 7, null, absent] },
  { type: { kind: 'int16' }, sql: 'SMALLINT', cells: [-700, 7] },
  { type: { kind: 'int32' }, sql: 'INTEGER', cells: [-2147483648, 5, 2147483647] },
  {
    type: { kind: 'int64' },
    sql: 'BIGINT',
    cells: [-(2n ** 63n), null, 2n ** 63n - 1n, 2n ** 40n],
  },
  { type: { kind: 'float32' }, sql: 'FLOAT', cells: [-1.5, 0.1, 3e38].map(Math.fround) },
  { type: { kind: 'float64' }, sql: 'DOUBLE', cells: [-1.5, 0.1, 1e308] },
  { type: decimal(9, 2), sql: 'DECIMAL(9,2)', cells: [-999999999n, 5n, 999999999n] },
  {
    type: decimal(18, 4),
    sql: 'DECIMAL(18,4)',
    cells: [-(10n ** 18n) + 1n, null, 10n ** 18n - 1n],
  },
  { type: decimal(38, 6), sql: 'DECIMAL(38,6)', cells: [-(10n ** 38n) + 1n, -5n, 0n, 10n ** 30n] },
  { type: { kind: 'string' }, sql: 'VARCHAR', cells: ['b', 'ÿ', '\u{1F600}', 'a', null] },
  { type: { kind: 'date' }, sql: 'DATE', cells: [-719162, 0, 2932896] },
  { type: { kind: 'timestamp' }, sql: 'TIMESTAMPTZ', cells: [-5n, 1_700_000_000_123_456n] },
  { type: { kind: 'timestamp_ntz' }, sql: 'TIMESTAMP', cells: [-5n, 1_700_000_000_123_456n] },
]

test('DuckDB reads the statistics of chunks and finds in them what the data says', async () => {
  for (const { type, sql, cells } of chunks) {
    const { bytes } = await encodeFile([[{ name: 'c', type, cells }]])
    const [row] = await queryByDuckDb(
      bytes,
      `SELECT stats_min_value::${sql} = m.least AS min, stats_max_value::${sql} = m.greatest AS max,
         stats_null_count = m.nulls AS nulls, min_is_exact, max_is_exact
       FROM parquet_metadata($file), (
         SELECT list_min(list(c)) AS least, list_max(list(c)) AS greatest, count_if(c IS NULL) AS nulls
         FROM read_parquet($file)) m`,
    )
    expect(row, sql).toEqual({
      min: true,
      max: true,
      nulls: true,
      min_is_exact: true,
      max_is_exact: true,
    })
  }
})

test('chunks with NaN have no extremes; a zero may have either sign', async () => {
  const type: ScalarType = { kind: 'float64' }
  const nan = await encodeFile([[{ name: 'c', type, cells: [1, NaN] }]])
  const select =
    'SELECT stats_min_value AS min, stats_max_value AS max FROM parquet_metadata($file)'
  expect(await queryByDuckDb(nan.bytes, select)).toEqual([{ min: null, max: null }])
  for (const zero of [0, -0]) {
    const zeros = await encodeFile([[{ name: 'c', type, cells: [zero] }]])
    expect(await queryByDuckDb(zeros.bytes, select)).toEqual([{ min: '-0.0', max: '0.0' }])
  }
})

test('cut bounds of long strings and binaries hide no row', async () => {
  const strings = ['b'.repeat(100), 'a'.repeat(65), '\u{10FFFF}'.repeat(40), 'é'.repeat(50)]
  const binaries = strings.map((_, at) => new Uint8Array(80).fill(at === 0 ? 255 : at))
  const { bytes } = await encodeFile([
    [
      { name: 's', type: { kind: 'string' }, cells: strings },
      { name: 'b', type: { kind: 'binary' }, cells: binaries },
    ],
    [
      { name: 's', type: { kind: 'string' }, cells: ['b'.repeat(90)] },
      { name: 'b', type: { kind: 'binary' }, cells: [new Uint8Array(80).fill(7)] },
    ],
  ])
  const [row] = await queryByDuckDb(
    bytes,
    `SELECT count(*) AS n FROM read_parquet($file) AS f
     WHERE s = repeat('b', 100) OR s = repeat('a', 65) OR s > repeat('c', 10) OR s = repeat('b', 90)`,
  )
  expect(row).toEqual({ n: 5n })
  const exact = await queryByDuckDb(
    bytes,
    `SELECT stats_min_value AS min, stats_max_value AS max, min_is_exact, max_is_exact
     FROM parquet_metadata($file) WHERE path_in_schema = 's' ORDER BY row_group_id`,
  )
  expect(exact).toEqual([
    { min: 'a'.repeat(32), max: null, min_is_exact: false, max_is_exact: null },
    {
      min: 'b'.repeat(32),
      max: `${'b'.repeat(31)}c`,
      min_is_exact: false,
      max_is_exact: false,
    },
  ])
})

/** Every canonical type through load, change and rewrite; key equality of every key type. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { absent, type Cell } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import { parseDeltaStats } from '../delta/statistics.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { ManifestEntry } from '../staging/manifest.ts'

let engine: Engine
let folder = ''
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-types-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const root = 'main/shop/t'

interface TypeCase {
  readonly name: string
  readonly type: CanonicalType
  /** Ascending; as staged. */
  readonly cells: readonly Cell[]
  /** As the engine prints them, where that differs. */
  readonly read?: readonly unknown[]
  /** Cannot be a key here. */
  readonly isValueOnly?: true
}

const decimalOf = (precision: number, scale: number): CanonicalType => ({
  kind: 'decimal',
  precision,
  scale,
})
const long = 'x'.repeat(20_000)
const cases: readonly TypeCase[] = [
  { name: 'boolean', type: { kind: 'boolean' }, cells: [false, true], isValueOnly: true },
  { name: 'int8', type: { kind: 'int8' }, cells: [-128, 127] },
  { name: 'int16', type: { kind: 'int16' }, cells: [-32768, 32767] },
  { name: 'int32', type: { kind: 'int32' }, cells: [-(2 ** 31), 2 ** 31 - 1] },
  { name: 'int64', type: { kind: 'int64' }, cells: [-(2n ** 63n), 2n ** 63n - 1n] },
  { name: 'float32', type: { kind: 'float32' }, cells: [-Infinity, Math.fround(0.1), NaN] },
  { name: 'float64', type: { kind: 'float64' }, cells: [-1e300, 0.1, Infinity, NaN] },
  {
    name: 'decimal 9',
    type: decimalOf(9, 2),
    cells: [-99_999_999_9n, 1n],
    read: ['-9999999.99', '0.01'],
  },
  {
    name: 'decimal 18',
    type: decimalOf(18, 18),
    cells: [-(10n ** 18n - 1n), 1n],
    read: ['-0.999999999999999999', '0.000000000000000001'],
  },
  {
    name: 'decimal 38',
    type: decimalOf(38, 0),
    cells: [-(10n ** 38n - 1n), 10n ** 38n - 1n],
    read: [`-${'9'.repeat(38)}`, '9'.repeat(38)],
  },
  {
    name: 'string',
    type: { kind: 'string' },
    cells: ['', ' ', 'A', 'a', 'a ', `a\u0000`, long, 'ÿ', '\u{10ffff}'],
  },
  { name: 'binary', type: { kind: 'binary' }, cells: [new Uint8Array(), new Uint8Array([0, 255])] },
  {
    name: 'date',
    type: { kind: 'date' },
    cells: [-800_000, 0, 3_000_000],
    read: ['0222-09-04 (BC)', '1970-01-01', '10183-09-21'],
  },
  {
    name: 'timestamp',
    type: { kind: 'timestamp' },
    cells: [-1n, 1_700_000_000_123_456n],
    read: ['1969-12-31 23:59:59.999999+00', '2023-11-14 22:13:20.123456+00'],
  },
  {
    name: 'timestamp_ntz',
    type: { kind: 'timestamp_ntz' },
    cells: [-1n, 253_402_300_800_000_000n],
    read: ['1969-12-31 23:59:59.999999', '10000-01-01 00:00:00'],
  },
  {
    name: 'array',
    type: { kind: 'array', element: { kind: 'string' } },
    cells: [[], ['a', null], ['b']],
    isValueOnly: true,
  },
]

test('every value survives load, update, carried cells and merged files', async () => {
  const place = await openPlace(join(folder, 'values'))
  const columns = Object.fromEntries(cases.map(({ name, type }) => [name, type]))
  const schema = schemaOf({ id: { kind: 'int32' }, ...columns }, ['id'])
  const rowCount = 1 + Math.max(...cases.map(({ cells }) => cells.length))
  const rowsFrom = <T>(valuesOf: (item: TypeCase) => readonly T[]): (T | number | null)[][] =>
    Array.from({ length: rowCount }, (_, id) => [
      id,
      ...cases.map((item) => valuesOf(item)[id] ?? null),
    ])
  const rows: Cell[][] = rowsFrom(({ cells }) => cells)
  const expected = rowsFrom(({ cells, read }) => read ?? cells)
  await place.source.publish([
    await place.source.table('1', 't', schema),
    ...(await place.source.snapshot('1', schema, [rows])),
  ])
  const pipeline = pipelineOver(place, engine)
  expect((await pipeline.update({ signal })).failedTables).toEqual([])
  expect(await rowsOf(place.lake, root, engine)).toEqual(expected)
  for (let round = 1; round <= 10; round++) {
    const changes = rows.map((row, ordinal): StagedChange => {
      const cells = row.map((cell, column) =>
        column > 0 && (column + round) % 2 === 0 ? absent : cell,
      )
      return { op: 'u', sequence: round, ordinal, cells }
    })
    await place.source.publish([await place.source.changes('1', schema, changes.slice(round % 2))])
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
  }
  expect(await rowsOf(place.lake, root, engine)).toEqual(expected)
})

test('every value is found again as a key', async () => {
  const place = await openPlace(join(folder, 'keys'))
  const keyed = cases.filter(({ isValueOnly }) => isValueOnly !== true)
  const schemas = keyed.map(({ type }) => schemaOf({ k: type, n: { kind: 'int32' } }, ['k']))
  const entries: ManifestEntry[] = []
  for (const [table, { cells }] of keyed.entries()) {
    const schema = schemas[table] as TableSchema
    const chunks = cells.map((cell, n): Cell[][] => [[cell, n]])
    entries.push(await place.source.table(`${table}`, `t${table}`, schema))
    entries.push(...(await place.source.snapshot(`${table}`, schema, chunks)))
  }
  await place.source.publish(entries)
  const pipeline = pipelineOver(place, engine)
  await pipeline.update({ signal })
  for (const part of [0, 1]) {
    const changed: ManifestEntry[] = []
    for (const [table, { cells }] of keyed.entries()) {
      const changes = cells
        .map((cell, n): StagedChange => ({
          op: 'u',
          sequence: part + 1,
          ordinal: n,
          cells: [cell, n + 100],
        }))
        .filter((_, n) => (n === 0) === (part === 0))
      changed.push(await place.source.changes(`${table}`, schemas[table] as TableSchema, changes))
    }
    await place.source.publish(changed)
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
  }
  for (const [table, { name, cells, read }] of keyed.entries()) {
    const rows = await rowsOf(place.lake, `main/shop/t${table}`, engine)
    const expected = (read ?? cells).map((value, n) => [value, n + 100])
    expect({ name, rows }).toEqual({ name, rows: expect.arrayContaining(expected) })
    expect(rows).toHaveLength(cells.length)
  }
})

test('-0 and 0, and all NaN, are one key each', async () => {
  const place = await openPlace(join(folder, 'zero'))
  const schema = schemaOf({ k: { kind: 'float64' }, n: { kind: 'int32' } }, ['k'])
  await place.source.publish([
    await place.source.table('1', 't', schema),
    ...(await place.source.snapshot('1', schema, [
      [
        [-0, 1],
        [NaN, 2],
      ],
    ])),
    await place.source.changes('1', schema, [
      { op: 'u', sequence: 1, ordinal: 0, cells: [0, 3] },
      { op: 'd', sequence: 1, ordinal: 1, cells: [NaN, absent] },
    ]),
  ])
  expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
  expect(await rowsOf(place.lake, root, engine)).toEqual([[0, 3]])
  await place.source.publish([
    await place.source.changes('1', schema, [
      { op: 'u', sequence: 2, ordinal: 0, cells: [-0, 4] },
      { op: 'i', sequence: 2, ordinal: 1, cells: [-1, 5] },
    ]),
  ])
  expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
  expect(await rowsOf(place.lake, root, engine), 'the sign is kept').toEqual([
    [-1, 5],
    [-0, 4],
  ])
})

test('excluded columns never arrive: not in the rows, not in the files', async () => {
  const place = await openPlace(join(folder, 'excluded'))
  const secret = 'do-not-copy-me'
  const schema = schemaOf(
    { id: { kind: 'int32' }, pin: { kind: 'string' }, v: { kind: 'string' } },
    ['id'],
  )
  await place.source.publish([
    await place.source.table('1', 't', schema),
    ...(await place.source.snapshot('1', schema, [[[1, secret, 'a']], [[2, secret, 'b']]])),
    await place.source.changes('1', schema, [
      { op: 'u', sequence: 1, ordinal: 0, cells: [2, secret, absent] },
      { op: 'u', sequence: 1, ordinal: 1, cells: [1, absent, 'c'] },
    ]),
  ])
  const tables = [{ ...wholeSchema, sourceTable: 't', excludeColumns: ['pin'] }]
  expect((await pipelineOver(place, engine, { tables }).update({ signal })).failedTables).toEqual(
    [],
  )
  expect(await rowsOf(place.lake, root, engine)).toEqual([
    [1, 'c'],
    [2, 'b'],
  ])
  for await (const { path } of place.lake.list('')) {
    expect(Buffer.from((await place.lake.read(path)) ?? []).includes(secret)).toBe(false)
  }
  // Asked for again, the column comes from the staged copy.
  expect((await pipelineOver(place, engine).update({ signal })).committedTables).toBe(1)
  expect(await rowsOf(place.lake, root, engine)).toEqual([
    [1, secret, 'c'],
    [2, secret, 'b'],
  ])
  const wrong = [{ ...wholeSchema, sourceTable: 't', excludeColumns: ['id'] }]
  expect(
    (await pipelineOver(place, engine, { tables: wrong }).update({ signal })).failedTables,
  ).toMatchObject([{ problem: { code: 'DESTINATION_COLUMN_UNKNOWN' } }])
})

test('statistics of written files bound their values', async () => {
  const place = await openPlace(join(folder, 'bounds'))
  const schema = schemaOf({ id: { kind: 'int64' }, s: { kind: 'string' } }, ['id'])
  const wide = (n: number): Cell[] => [
    BigInt(n),
    `${'é'.repeat(31)}${n === 0 ? 'a' : 'z'.repeat(9000 * n)}`,
  ]
  await place.source.publish([
    await place.source.table('1', 't', schema),
    ...(await place.source.snapshot('1', schema, [])),
    await place.source.changes('1', schema, [
      { op: 'i', sequence: 1, ordinal: 0, cells: wide(0) },
      { op: 'i', sequence: 1, ordinal: 1, cells: wide(1) },
    ]),
  ])
  await pipelineOver(place, engine).update({ signal })
  const snapshot = await openDeltaTable({ storage: place.lake, root }).snapshot()
  const [stats] = [...(snapshot?.files.values() ?? [])].map((file) => parseDeltaStats(file.stats))
  expect(stats?.numRecords).toBe(2)
  expect(stats?.maxValues.get('id')).toBe('1')
  expect(stats?.minValues.get('s')).toBe(`${'é'.repeat(31)}a`)
  expect(stats?.maxValues.get('s')).toBe(`${'é'.repeat(31)}{`)
})

/**
 * Tables that our pipelines made, of every kind and after everything that happens to them, read by a
 * foreign reader: it has to see the rows that we see.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CanonicalType } from '../../src/columnar/canonical-type.ts'
import { columnsOfDeltaSchema } from '../../src/delta/table-schema.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { liveRowsSql } from '../../src/destination/read-table.ts'
import { openEngine, type Engine } from '../../src/engine/duckdb.ts'
import { quoteIdentifier } from '../../src/engine/quote.ts'
import type { PipelineOptions } from '../../src/pipeline/pipeline.ts'
import type { SourceColumn, TableSchema } from '../../src/source/table-schema.ts'
import type { ManifestEntry, StagedFile } from '../../src/staging/manifest.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { absent, type Cell, Unfit } from '../support/cells.ts'
import { pipelineOver, wholeSchema, type Place } from '../support/pipeline-fixtures.ts'
import { readWithReferee } from '../support/referee.ts'
import { StagedSource, type StagedChange } from '../support/staged-source.ts'

const signal = new AbortController().signal
let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-referee-kinds-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

interface Refereed extends Place {
  readonly lakeFolder: string
}

async function openRefereed(): Promise<Refereed> {
  const own = join(folder, String(places++))
  const staging = createLocalStorage(join(own, 'staging'))
  const lakeFolder = join(own, 'lake')
  const source = await StagedSource.open(staging)
  return { source, staging, lake: createLocalStorage(lakeFolder), lakeFolder }
}

/** What both readers say, as one text per row; a NULL array is an empty one to the referee. */
function rowText(row: readonly unknown[], types: readonly CanonicalType[]): string {
  const cellText = (cell: unknown, type: CanonicalType): unknown => {
    if (type.kind === 'array') {
      return ((cell ?? []) as readonly unknown[]).map((one) => cellText(one, type.element))
    }
    if (cell === null) return null
    const text = typeof cell === 'string' ? cell : JSON.stringify(cell)
    if (type.kind !== 'float32' && type.kind !== 'float64') return text
    const value = typeof cell === 'number' ? cell : Number(text.replace('nan', 'NaN'))
    return Object.is(value, -0) ? '-0' : String(value)
  }
  return JSON.stringify(row.map((cell, n) => cellText(cell, types[n] ?? { kind: 'string' })))
}

function ourCell(name: string, { kind }: CanonicalType): string {
  const quoted = quoteIdentifier(name)
  if (kind === 'array') return quoted
  const isTime = kind === 'timestamp' || kind === 'timestamp_ntz'
  return isTime ? `strftime(${quoted}, '%Y-%m-%d %H:%M:%S.%f')` : `CAST(${quoted} AS VARCHAR)`
}

/** Returns how many rows there are. */
async function expectSameRead(place: Refereed, root: string): Promise<number> {
  const table = openDeltaTable({ storage: place.lake, root })
  const snapshot = await table.snapshot()
  if (snapshot === undefined) throw new Error(`there is no table ${root}`)
  const columns = columnsOfDeltaSchema(snapshot.metadata.schemaString)
  const types = columns.map(({ type }) => type)
  const session = await engine.openSession()
  const live = await liveRowsSql(session, table, snapshot)
  const list = columns.map(({ name, type }, n) => `${ourCell(name, type)} AS c${n}`)
  const ours = await session.rows(`SELECT ${list.join(', ')} FROM ${live}`)
  session.close()
  const theirs = await readWithReferee(join(place.lakeFolder, root))
  expect(theirs.columns.map(([name]) => name)).toEqual(columns.map(({ name }) => name))
  expect(theirs.rows.map((row) => rowText(row, types)).toSorted()).toEqual(
    ours.map((row) => rowText(Object.values(row), types)).toSorted(),
  )
  return ours.length
}

/** The table under each kind, in schemas of their own. */
const kinds = [
  ['now', 'SCD_TYPE_1'],
  ['versions', 'SCD_TYPE_2'],
  ['log', 'APPEND_ONLY'],
] as const

/** Applies what is staged to destinations of all kinds; every one reads the same on both sides. */
async function followAll(
  place: Refereed,
  skipped: readonly string[] = [],
): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  for (const [schema, scdType] of kinds) {
    if (skipped.includes(schema)) continue
    await follow(place, {
      pipelineId: schema,
      tables: [{ ...wholeSchema, scdType, destinationSchema: schema }],
    })
    counts[schema] = await expectSameRead(place, `main/${schema}/t`)
  }
  return counts
}

async function follow(place: Place, options: Partial<PipelineOptions>): Promise<void> {
  const { failedTables } = await pipelineOver(place, engine, options).update({ signal })
  expect(failedTables).toEqual([])
}

const column = (id: number, name: string, type: CanonicalType): SourceColumn => ({
  id: String(id),
  name,
  type,
  sourceType: type.kind,
  nullable: id > 1,
})
const decimal = (precision: number): CanonicalType => ({ kind: 'decimal', precision, scale: 2 })
const id = column(1, 'id', { kind: 'int32' })
const text = column(2, 'Größe (%)', { kind: 'string' })
const price = column(3, 'price', decimal(4))
const list = column(4, 'list', { kind: 'array', element: { kind: 'float32' } })
const zero = column(5, 'zero', { kind: 'float64' })
const keyed = (columns: readonly SourceColumn[]): TableSchema => ({ columns, key: ['id'] })

let sequence = 1
function change(op: StagedChange['op'], cells: readonly Cell[], ordinal = 0): StagedChange {
  return { op, sequence: ordinal === 0 ? ++sequence : sequence, ordinal, cells }
}

async function step(
  { source }: Place,
  schema: TableSchema,
  version: number,
  fill?: readonly [SourceColumn, Cell],
): Promise<ManifestEntry[]> {
  let file: StagedFile | undefined
  if (fill !== undefined) {
    const staged = await source.snapshot('9', keyed([fill[0]]), [[[fill[1]]]], {
      snapshotId: 900 + version,
    })
    file = staged.find((entry) => entry.kind === 'snapshot_chunk')?.files[0]
  }
  return [
    await source.table('9', 't', schema, version),
    {
      kind: 'schema_change',
      table_id: '9',
      snapshot_id: 0,
      schema_version: version,
      sequence: String(++sequence),
      ordinal: 0,
      ...(file === undefined ? {} : { fill: file }),
    },
  ]
}

test('columns added with and without a default, dropped, renamed and widened, in every kind', async () => {
  const place = await openRefereed()
  const { source } = place
  const first = keyed([id, text, price, list, zero])
  const rows = Array.from({ length: 200 }, (_, n): Cell[] => [
    n,
    n % 7 === 0 ? null : `row ${n}`,
    BigInt(n * 7 - 500),
    n % 5 === 0 ? null : [n / 2, null, -0, Number.NaN],
    [0, -0, Number.NaN, Number.POSITIVE_INFINITY][n % 4] ?? 0,
  ])
  await source.publish([
    await source.table('9', 't', first),
    ...(await source.snapshot('9', first, [rows.slice(0, 120), rows.slice(120)])),
  ])
  expect(await followAll(place)).toEqual({ now: 200, versions: 200, log: 200 })
  const note = column(6, 'note', { kind: 'string' })
  const wide = column(3, 'price', decimal(19))
  const renamed = column(2, 'size', { kind: 'string' })
  const day = column(7, 'day', { kind: 'date' })
  const versions: readonly [TableSchema, (readonly [SourceColumn, Cell])?][] = [
    [keyed([id, text, price, list, zero, note])],
    [keyed([id, text, price, list, zero, note, day]), [day, 19_782]],
    [keyed([id, text, price, zero, note, day])],
    [keyed([id, renamed, price, zero, note, day])],
    [keyed([id, renamed, wide, zero, note, day])],
  ]
  for (const [at, [schema, fill]] of versions.entries()) {
    const version = at + 1
    await source.publish(await step(place, schema, version, fill))
    await followAll(place)
    const fresh = (n: number): Cell[] =>
      schema.columns.map(({ name, type }): Cell => {
        if (name === 'id') return n
        if (type.kind === 'decimal') return BigInt(-n)
        if (type.kind === 'array') return [-0]
        if (type.kind === 'float64') return -0
        return type.kind === 'date' ? n : `version ${version}`
      })
    const kept = schema.columns.map(({ name }, n): Cell =>
      n === 0 ? version : name === 'note' ? 'noted' : absent,
    )
    const changes = [
      change('i', fresh(1000 + version)),
      change('u', kept),
      change('d', fresh(100 + version)),
      change('u', fresh(50 + version)),
    ]
    await source.publish([await source.changes('9', schema, changes, { version })])
    expect(await followAll(place)).toMatchObject({ now: 200, log: 200 + version * 4 })
  }
})

test('as many equal rows as the source has, and a log that was emptied', async () => {
  const place = await openRefereed()
  const { source } = place
  const schema: TableSchema = { columns: [id, text, list, zero], key: [], identity: 'full-row' }
  const row = (n: number): Cell[] => [
    n % 4,
    n % 3 === 0 ? null : 'a',
    [-0, 0],
    n % 2 === 0 ? 0 : -0,
  ]
  await source.publish([
    await source.table('9', 't', schema),
    ...(await source.snapshot('9', schema, [Array.from({ length: 60 }, (_, n) => row(n))])),
  ])
  expect(await followAll(place, ['versions'])).toEqual({ now: 60, log: 60 })
  const changes = Array.from({ length: 12 }, (_, n) =>
    n % 3 === 2 ? change('i', row(n)) : change('d', row(n)),
  )
  await source.publish([await source.changes('9', schema, changes)])
  expect(await followAll(place, ['versions'])).toEqual({ now: 56, log: 72 })
  const truncate: ManifestEntry = {
    kind: 'truncate',
    table_id: '9',
    snapshot_id: 0,
    sequence: String(++sequence),
    ordinal: 0,
    commit_time_us: String(source.commitTimeUs),
  }
  await source.publish([truncate, await source.changes('9', schema, [change('i', row(1))])])
  expect(await followAll(place, ['versions'])).toEqual({ now: 1, log: 74 })
})

test('rows that do not fit, in quarantine and beside it', async () => {
  const place = await openRefereed()
  const { source } = place
  const day = column(2, 'day', { kind: 'date' })
  const schema = keyed([id, day])
  const odd = (n: number): Cell[] => [n, new Unfit('infinity')]
  const options = { unfitValues: 'quarantine' } as const
  const root = 'main/shop/t'
  await source.publish([
    await source.table('9', 't', schema),
    ...(await source.snapshot('9', schema, [[[1, 1], odd(2)], [odd(3)]])),
  ])
  await follow(place, options)
  expect(await expectSameRead(place, root)).toBe(1)
  expect(await expectSameRead(place, `${root}__quarantine`)).toBe(2)
  await source.publish([
    await source.changes('9', schema, [
      change('u', odd(1)),
      change('i', [4, 4]),
      change('u', [2, 2]),
    ]),
  ])
  await follow(place, options)
  expect(await expectSameRead(place, root)).toBe(2)
  expect(await expectSameRead(place, `${root}__quarantine`)).toBe(3)
})

test('a copy that was resumed: rows of its first part are marked', async () => {
  const place = await openRefereed()
  const { source } = place
  const schema = keyed([id, text])
  const head = { table_id: '9', snapshot_id: 0, schema_version: 0 }
  const staged = await source.snapshot('9', schema, [
    Array.from({ length: 40 }, (_, n): Cell[] => [n, 'old']),
    [[50, 'rest']],
    [
      [2, 'new'],
      [4, 'new'],
    ],
  ])
  const [done = [], rest = [], refresh = []] = staged.flatMap((entry) =>
    entry.kind === 'snapshot_chunk' ? [entry.files] : [],
  )
  await source.publish([
    await source.table('9', 't', schema),
    { kind: 'snapshot_started', ...head, point: 'first', chunk_count: 2 },
    { kind: 'snapshot_chunk', ...head, chunk: 0, files: done, range: '0-8' },
  ])
  const between = [change('u', [2, 'new']), change('u', [4, 'new']), change('d', [6, absent])]
  const resumed = { resumption: 1, table_id: '9', snapshot_id: 0 }
  const chunk = { kind: 'snapshot_chunk', ...head, ...resumed } as const
  await source.publish([
    await source.changes('9', schema, between),
    { kind: 'snapshot_resumed', ...resumed, point: 'second', first_chunk: 1, chunk_count: 2 },
    { ...chunk, chunk: 1, files: rest, range: '8-' },
    { ...chunk, chunk: 2, files: refresh, range: '0-8', refresh: true },
    { ...(await source.changes('9', schema, [change('u', [50, 'later'])])), resumption: 1 },
    { kind: 'snapshot_finished', table_id: '9', snapshot_id: 0, rows: 43 },
  ])
  expect(await followAll(place)).toEqual({ now: 40, versions: 41, log: 41 })
})

/**
 * Our tables, read by a foreign reader: ClickHouse with the official Delta kernel. Every type,
 * deletion vectors, checkpoints that have to be used because the early commits are gone.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CanonicalType } from '../../src/columnar/canonical-type.ts'
import type { Action, AddFile } from '../../src/delta/actions.ts'
import { encodeDataPath } from '../../src/delta/data-path.ts'
import type { DeltaSnapshot, DeltaTable } from '../../src/delta/delta-table.ts'
import { unionPositions } from '../../src/delta/deletion-vector.ts'
import { commitPath } from '../../src/delta/log-path.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { standardTable } from '../../src/delta/standard-table.ts'
import { deltaStatsJson, withLooseBounds } from '../../src/delta/statistics.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import type { Cell } from '../support/cells.ts'
import { encodeFile } from '../support/encode-file.ts'
import { readWithReferee, type RefereeCell } from '../support/referee.ts'

interface TestedColumn {
  readonly name: string
  readonly type: CanonicalType
  cell(n: number): Cell
  /** What the referee says of that cell. */
  text(n: number): RefereeCell
}

const column = (
  name: string,
  type: CanonicalType,
  cell: (n: number) => Cell,
  text: (n: number) => RefereeCell,
): TestedColumn => ({ name, type, cell, text })

const sign = (n: number): number => (n % 2 === 0 ? 1 : -1)

function decimal(name: string, precision: number, scale: number): TestedColumn {
  const largest = 10n ** BigInt(precision) - 1n
  const unscaled = (n: number): bigint => (n % 3 === 0 ? largest - BigInt(n) : BigInt(n * sign(n)))
  return column(name, { kind: 'decimal', precision, scale }, unscaled, (n) => {
    const value = unscaled(n)
    const digits = (value < 0n ? -value : value).toString().padStart(scale + 1, '0')
    return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
  })
}

/** Within what the referee can show: 1900 to 2299. */
const instantUs = (n: number): bigint =>
  BigInt(n * sign(n)) * 100_000_007_919n + (n % 5 === 0 ? 0n : 1n)

function instantText(n: number): string {
  const us = instantUs(n)
  const fraction = ((us % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = new Date(Number((us - fraction) / 1000n)).toISOString().slice(0, 19)
  return `${seconds.replace('T', ' ')}.${fraction.toString().padStart(6, '0')}`
}

const strings = [
  '',
  ' ',
  'NULL',
  'null',
  '\\N',
  'é😀\u{10FFFF}',
  'tab\tline\nquote"back\\slash',
  "it's",
  '\0nul',
  '-',
  'x'.repeat(5000),
]
const stringAt = (n: number): string => strings[n % strings.length] ?? ''
const bytesAt = (n: number): Uint8Array =>
  Uint8Array.from({ length: n % 40 }, (_, k) => (n * 31 + k * 77) & 255)

const always: readonly TestedColumn[] = [column('id', { kind: 'int64' }, (n) => BigInt(n), String)]
const nullable: readonly TestedColumn[] = [
  column(
    'flag',
    { kind: 'boolean' },
    (n) => n % 2 === 0,
    (n) => String(n % 2 === 0),
  ),
  column(
    'tiny',
    { kind: 'int8' },
    (n) => (n % 256) - 128,
    (n) => String((n % 256) - 128),
  ),
  column(
    'small',
    { kind: 'int16' },
    (n) => 32_767 - n,
    (n) => String(32_767 - n),
  ),
  column(
    'int',
    { kind: 'int32' },
    (n) => n - 2 ** 31,
    (n) => String(n - 2 ** 31),
  ),
  column(
    'big',
    { kind: 'int64' },
    (n) => 2n ** 63n - 1n - BigInt(n),
    (n) => String(2n ** 63n - 1n - BigInt(n)),
  ),
  column(
    'real',
    { kind: 'float32' },
    (n) => (n * sign(n)) / 4 + 0.5,
    (n) => String((n * sign(n)) / 4 + 0.5),
  ),
  column(
    'double',
    { kind: 'float64' },
    (n) => (n * sign(n)) / 8 + 0.1,
    (n) => String((n * sign(n)) / 8 + 0.1),
  ),
  decimal('dec9', 9, 2),
  decimal('dec18', 18, 6),
  decimal('dec38', 38, 10),
  column('text', { kind: 'string' }, stringAt, stringAt),
  column('bytes', { kind: 'binary' }, bytesAt, (n) => Buffer.from(bytesAt(n)).toString('hex')),
  column(
    'day',
    { kind: 'date' },
    (n) => n * sign(n),
    (n) => new Date(n * sign(n) * 86_400_000).toISOString().slice(0, 10),
  ),
  column('at', { kind: 'timestamp' }, instantUs, instantText),
  column('local', { kind: 'timestamp_ntz' }, instantUs, instantText),
  column('Größe (%)', { kind: 'int32' }, (n) => n, String),
  column(
    'many',
    { kind: 'array', element: { kind: 'int32' } },
    (n) => Array.from({ length: n % 4 }, (_, k) => (k === 1 ? null : n + k)),
    (n) => Array.from({ length: n % 4 }, (_, k) => (k === 1 ? null : n + k)),
  ),
  column(
    'words',
    { kind: 'array', element: { kind: 'string' } },
    (n) => [stringAt(n), null],
    (n) => [stringAt(n), null],
  ),
]
/** Every column but the key is NULL in every ninth row, each in another. */
const isNull = (index: number, n: number): boolean => (n + index) % 9 === 4
const columns: readonly TestedColumn[] = [
  ...always,
  ...nullable.map((one, index) => {
    const nothing = one.type.kind === 'array' ? [] : null
    return column(
      one.name,
      one.type,
      (n) => (isNull(index, n) ? null : one.cell(n)),
      (n) => (isNull(index, n) ? nothing : one.text(n)),
    )
  }),
]

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-referee-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** A table that the test changes and keeps a plain copy of. */
class Model {
  readonly table: DeltaTable
  snapshot: DeltaSnapshot | undefined
  /** Live ids of each file, at their positions; undefined where a row is dead. */
  readonly idsOf = new Map<string, (number | undefined)[]>()

  constructor(root: string) {
    this.table = openDeltaTable({
      storage: createLocalStorage(folder),
      root,
      onCheckpointFailed: (error) => {
        throw error
      },
    })
  }

  async commit(actions: readonly Action[]): Promise<void> {
    const outcome = await this.table.commit(this.snapshot, actions)
    expect(outcome.kind).toBe('committed')
    this.snapshot = outcome.snapshot
  }

  /** Writes a data file of the rows, in two row groups, and returns its add. */
  async write(path: string, ids: readonly number[]): Promise<Action> {
    const half = ids.length >> 1
    const groups = [ids.slice(0, half), ids.slice(half)].filter((group) => group.length > 0)
    const rowGroups = groups.map((group) =>
      columns.map((one) => ({
        name: one.name,
        type: one.type,
        cells: group.map((n) => one.cell(n)),
      })),
    )
    const { bytes, statistics } = await encodeFile(rowGroups)
    await this.table.storage.write(`${this.table.root}/${path}`, bytes)
    const spelled = encodeDataPath(path)
    this.idsOf.set(spelled, [...ids])
    const stats = deltaStatsJson(statistics, columns)
    const file = {
      path: spelled,
      partitionValues: {},
      size: bytes.length,
      modificationTime: Date.now(),
    }
    return { add: { ...file, dataChange: true, stats } }
  }

  /** Marks rows of several files dead, all vectors in one file; a file without live rows goes. */
  async kill(isDead: (id: number) => boolean): Promise<Action[]> {
    const touched: { readonly file: AddFile; readonly positions: BigUint64Array }[] = []
    const actions: Action[] = []
    for (const file of this.snapshot?.files.values() ?? []) {
      const ids = this.idsOf.get(file.path) ?? []
      const found = ids.flatMap((id, n) => (id !== undefined && isDead(id) ? [BigInt(n)] : []))
      if (found.length === 0) continue
      for (const position of found) ids[Number(position)] = undefined
      const { path, deletionVector } = file
      const vector = deletionVector === undefined ? {} : { deletionVector }
      actions.push({ remove: { path, dataChange: true, deletionTimestamp: Date.now(), ...vector } })
      const old = BigUint64Array.from(await this.table.readDeletionVector(file))
      const positions = unionPositions(old, BigUint64Array.from(found))
      if (positions.length < ids.length) touched.push({ file, positions })
    }
    const vectors = await this.table.writeDeletionVectors(touched.map(({ positions }) => positions))
    touched.forEach(({ file }, n) => {
      const deletionVector = vectors[n]
      if (deletionVector === undefined) throw new Error('a vector is missing')
      actions.push({ add: { ...file, stats: withLooseBounds(file.stats ?? ''), deletionVector } })
    })
    return actions
  }

  rows(): RefereeCell[][] {
    const live = [...(this.snapshot?.files.values() ?? [])].flatMap(({ path }) =>
      (this.idsOf.get(path) ?? []).filter((id) => id !== undefined),
    )
    return live.map((id) => columns.map((one) => one.text(id)))
  }
}

const byText = (rows: readonly (readonly RefereeCell[])[]): string[] =>
  rows.map((row) => JSON.stringify(row)).toSorted()

const range = (from: number, count: number): number[] =>
  Array.from({ length: count }, (_, n) => from + n)

async function expectSameRows(model: Model): Promise<void> {
  const read = await readWithReferee(join(folder, model.table.root), { hexColumns: ['bytes'] })
  expect(read.columns.map(([name]) => name)).toEqual(columns.map(({ name }) => name))
  expect(byText(read.rows)).toEqual(byText(model.rows()))
}

async function createModel(root: string): Promise<Model> {
  const model = new Model(root)
  const { protocol, metadata } = standardTable({ columns, name: root, createdAtMs: Date.now() })
  await model.commit([{ protocol }, { metaData: metadata }])
  return model
}

test('every type, over many commits with deletion vectors, from the checkpoint on', async () => {
  const model = await createModel('lake/main/all types')
  await expectSameRows(model)
  await model.commit([await model.write('part-0.parquet', range(0, 1000))])
  await expectSameRows(model)
  for (let step = 1; step <= 13; step++) {
    const killed = await model.kill(
      (id) => (id * 7 + step) % 19 === 0 || (step === 5 && id >= 2000 && id < 2050),
    )
    const added = await model.write(`part ${step}-é %.parquet`, range(1000 * step, 40 + step))
    await model.commit([...killed, added, { txn: { appId: 'sluice/p/t', version: step } }])
    if (step % 4 === 1) await expectSameRows(model)
  }
  expect(model.snapshot?.version).toBe(14n)
  for (let version = 0n; version < 10n; version++) {
    await model.table.storage.delete(commitPath(model.table.root, version))
  }
  await expectSameRows(model)
})

/** A cell as a constant of the referee's SQL; undefined for types that have no statistics. */
function constantOf(type: CanonicalType, text: RefereeCell): string | undefined {
  if (typeof text !== 'string') return undefined
  switch (type.kind) {
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
    case 'float32':
    case 'float64':
      return text
    case 'decimal':
      return `toDecimal128('${text}', ${type.scale})`
    case 'string':
      return `unhex('${Buffer.from(text).toString('hex')}')`
    case 'date':
      return `toDate32('${text}')`
    case 'timestamp':
    case 'timestamp_ntz':
      return `toDateTime64('${text}', 6, 'UTC')`
    default:
      return undefined
  }
}

test('the referee does skip files by their statistics: one that lies is not read', async () => {
  const model = await createModel('lake/main/lying')
  const added = await model.write('f.parquet', range(0, 30))
  if (!('add' in added)) throw new Error('no file')
  const stats = added.add.stats
    ?.replaceAll('{"id":0', '{"id":1000')
    .replaceAll('{"id":29', '{"id":2000')
  await model.commit([{ add: { ...added.add, stats: stats ?? '' } }])
  const read = await readWithReferee(join(folder, model.table.root), { where: 'id = 5' })
  expect(read.rows).toEqual([])
})

test('conditions find their rows though files are skipped by statistics', async () => {
  const model = await createModel('lake/main/skipping')
  for (let file = 0; file < 6; file++) {
    await model.commit([await model.write(`f${file}.parquet`, range(file * 30, 30))])
  }
  await model.commit(await model.kill((id) => id % 10 === 3))
  const conditions = columns.flatMap((one, index) =>
    [0, 29, 101, 179].flatMap((n) => {
      const constant = constantOf(one.type, one.text(n))
      return constant === undefined ? [] : [{ index, constant, text: one.text(n) }]
    }),
  )
  expect(conditions.length).toBeGreaterThan(40)
  for (const { index, constant, text } of conditions) {
    const name = `\`${columns[index]?.name}\``
    const options = { hexColumns: ['bytes'], where: `${name} = ${constant}` }
    const read = await readWithReferee(join(folder, model.table.root), options)
    const expected = model.rows().filter((row) => row[index] === text)
    expect(byText(read.rows)).toEqual(byText(expected))
  }
}, 120_000)

test('a table emptied and replaced under another schema', async () => {
  const model = await createModel('lake/main/replaced')
  await model.commit([
    await model.write('a.parquet', range(0, 10)),
    await model.write('b.parquet', range(10, 10)),
  ])
  await model.commit(await model.kill(() => true))
  expect(model.snapshot?.files.size).toBe(0)
  await expectSameRows(model)
  const columnsNow = [{ name: 'other', type: { kind: 'string' } }] as const
  const { metadata } = standardTable({ columns: columnsNow, createdAtMs: Date.now() })
  const { bytes, statistics } = await encodeFile([[{ ...columnsNow[0], cells: ['x', null] }]])
  await model.table.storage.write('lake/main/replaced/c.parquet', bytes)
  const file = {
    path: 'c.parquet',
    partitionValues: {},
    size: bytes.length,
    modificationTime: Date.now(),
  }
  const stats = deltaStatsJson(statistics, columnsNow)
  await model.commit([{ metaData: metadata }, { add: { ...file, dataChange: true, stats } }])
  const read = await readWithReferee(join(folder, model.table.root))
  expect(byText(read.rows)).toEqual(['["x"]', '[null]'])
})

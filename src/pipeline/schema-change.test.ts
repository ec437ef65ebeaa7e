import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import type { ManifestEntry, SchemaChangeEntry } from '../staging/manifest.ts'
import { absent, type Cell } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
} from '../../test/support/pipeline-fixtures.ts'
import type { StagedSource } from '../../test/support/staged-source.ts'

let folder: string
let engine: Engine
let places = 0

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-steps-'))
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
})

afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const root = 'main/shop/t'
const signal = new AbortController().signal

function column(id: number, name: string, type: CanonicalType['kind'] = 'string'): SourceColumn {
  return {
    id: String(id),
    name,
    type: { kind: type } as CanonicalType,
    sourceType: type,
    nullable: id > 1,
  }
}

const schema = (columns: readonly SourceColumn[], key = ['id']): TableSchema => ({ columns, key })

async function step(
  source: StagedSource,
  table: TableSchema,
  change: {
    version: number
    sequence: number
    fill?: readonly [readonly SourceColumn[], readonly (string | number | null)[]]
  },
): Promise<ManifestEntry[]> {
  const { version, sequence, fill } = change
  const file =
    fill === undefined
      ? undefined
      : (
          await source.snapshot('1', schema(fill[0]), [[fill[1]]], { snapshotId: 900 + version })
        ).find((entry) => entry.kind === 'snapshot_chunk')?.files[0]
  const entry: SchemaChangeEntry = {
    kind: 'schema_change',
    table_id: '1',
    snapshot_id: 0,
    schema_version: version,
    sequence: String(sequence),
    ordinal: 1,
    ...(file === undefined ? {} : { fill: file }),
  }
  return [await source.table('1', 't', table, version), entry]
}

const v0 = schema([column(1, 'id', 'int32'), column(2, 'a'), column(3, 'b')])
const v1 = schema([...v0.columns, column(4, 'n', 'int32'), column(5, 'none')])
const v2 = schema(
  [column(1, 'key', 'int32'), column(3, 'a'), column(4, 'n', 'int32'), column(5, 'none')],
  ['key'],
)

async function stageAll(source: StagedSource, how: 'one commit' | 'one each'): Promise<void> {
  const publish = async (entries: readonly ManifestEntry[]): Promise<void> => {
    if (how === 'one each') await source.publish(entries)
    else all.push(...entries)
  }
  const all: ManifestEntry[] = []
  await publish([
    await source.changes('1', v0, [
      { op: 'i', sequence: 1, ordinal: 0, cells: [3, 'x3', 'y3'] },
      { op: 'u', sequence: 1, ordinal: 1, cells: [1, absent, 'new'] },
    ]),
  ])
  await publish(
    await step(source, v1, {
      version: 1,
      sequence: 2,
      fill: [
        [column(4, 'n', 'int32'), column(5, 'none')],
        [7, null],
      ],
    }),
  )
  await publish([
    await source.changes(
      '1',
      v1,
      [
        { op: 'u', sequence: 3, ordinal: 0, cells: [2, 'x2', absent, 8, absent] },
        { op: 'i', sequence: 3, ordinal: 1, cells: [4, 'x4', 'y4', null, 'some'] },
      ],
      { version: 1 },
    ),
  ])
  await publish(await step(source, v2, { version: 2, sequence: 4 }))
  await publish([
    await source.changes(
      '1',
      v2,
      [
        { op: 'u', sequence: 5, ordinal: 0, cells: [4, absent, 5, 'more'] },
        { op: 'd', sequence: 5, ordinal: 1, cells: [5, absent, absent, absent] },
      ],
      { version: 2 },
    ),
  ])
  if (how === 'one commit') await source.publish(all)
}

const loaded = [
  [1, 'x1', 'y1'],
  [2, 'x2', 'y2'],
  [5, 'x5', 'y5'],
]

const expected = [
  [1, 'new', 7, null],
  [2, 'y2', 8, null],
  [3, 'y3', 7, null],
  [4, 'y4', 5, 'more'],
]

for (const how of ['one commit', 'one each'] as const) {
  for (const when of ['after each', 'at the end', 'never before'] as const) {
    test(`rows before and after schema changes, staged in ${how}, applied ${when}`, async () => {
      const place = await openPlace(join(folder, `place-${places++}`))
      const { source } = place
      const pipeline = pipelineOver(place, engine)
      await source.publish([
        await source.table('1', 't', v0),
        ...(await source.snapshot('1', v0, [loaded])),
      ])
      if (when !== 'never before') await pipeline.update({ signal })
      const staged = stageAll(source, how)
      while (when === 'after each' && !(await Promise.race([staged.then(() => true), pause()]))) {
        const result = await pipeline.update({ signal })
        expect(result.failedTables).toEqual([])
      }
      await staged
      const result = await pipeline.update({ signal })
      expect(result.failedTables).toEqual([])
      expect(await rowsOf(place.lake, root, engine)).toEqual(expected)
    })
  }
}

const pause = async (): Promise<false> => {
  await new Promise((resolve) => setImmediate(resolve))
  return false
}

test('lists of columns: a dropped name is forgotten, a renamed one stops the table', async () => {
  for (const [name, problem] of [
    ['a', undefined],
    ['b', 'DESTINATION_COLUMN_UNKNOWN'],
  ] as const) {
    const place = await openPlace(join(folder, `place-${places++}`))
    const { source } = place
    const pipeline = pipelineOver(place, engine, {
      tables: [{ ...wholeSchema, sourceTable: 't', excludeColumns: [name] }],
    })
    await source.publish([
      await source.table('1', 't', v0),
      ...(await source.snapshot('1', v0, [loaded])),
    ])
    await pipeline.update({ signal })
    const later =
      name === 'a'
        ? schema([column(1, 'id', 'int32'), column(3, 'b')])
        : schema([column(1, 'id', 'int32'), column(2, 'a'), column(3, 'B2')])
    await source.publish(await step(source, later, { version: 1, sequence: 4 }))
    const result = await pipeline.update({ signal })
    expect(result.failedTables.map((table) => table.problem?.code)).toEqual(
      problem === undefined ? [] : [problem],
    )
    const rest = loaded.map(([id, a, b]) => [id, name === 'a' ? b : a])
    expect(await rowsOf(place.lake, root, engine)).toEqual(rest)
  }
})

test('a column that is NULL in all rows there are leaves their files as they are', async () => {
  const place = await openPlace(join(folder, `place-${places++}`))
  const { source } = place
  const pipeline = pipelineOver(place, engine)
  const rows = Array.from({ length: 20 }, (_, n) => [n, `a${n}`, `b${n}`])
  const copied = await source.snapshot('1', v0, [rows])
  await source.publish([await source.table('1', 't', v0), ...copied])
  await pipeline.update({ signal })
  const filesOf = async (): Promise<string[]> => {
    const table = openDeltaTable({ storage: place.lake, root })
    return [...((await table.snapshot())?.files.values() ?? [])].map(({ path }) => path)
  }
  const before = await filesOf()
  const wider = schema([...v0.columns, column(4, 'c'), column(5, 'n', 'int32')])
  await source.publish(await step(source, wider, { version: 1, sequence: 1 }))
  expect((await pipeline.update({ signal })).failedTables).toEqual([])
  expect(await filesOf()).toEqual(before)
  expect(await rowsOf(place.lake, root, engine)).toEqual(rows.map((row) => [...row, null, null]))
  // Cells that a change keeps are NULL in the old file; small files are merged on the way.
  for (let n = 0; n < 14; n++) {
    const cells: Cell[] = [n, 'new', absent, n % 2 === 0 ? absent : 'c', absent]
    const change = { op: 'u' as const, sequence: n + 2, ordinal: 0, cells }
    await source.publish([await source.changes('1', wider, [change], { version: 1 })])
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
  }
  expect(await rowsOf(place.lake, root, engine)).toEqual(
    rows.map(([n, a, b]) => {
      const id = Number(n)
      return id < 14 ? [id, 'new', b, id % 2 === 0 ? null : 'c', null] : [id, a, b, null, null]
    }),
  )
  // The same columns under another version: nothing is written.
  const unchanged = await filesOf()
  await source.publish(await step(source, wider, { version: 2, sequence: 99 }))
  expect((await pipeline.update({ signal })).failedTables).toEqual([])
  expect(await filesOf()).toEqual(unchanged)
})

import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { absent, type Cell } from '../../test/support/cells.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
} from '../../test/support/pipeline-fixtures.ts'
import { systemClock } from '../base/clock.ts'
import type { AddFile } from '../delta/actions.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import { standardTable } from '../delta/standard-table.ts'
import { deltaSchemaString } from '../delta/table-schema.ts'
import { writeDataFiles } from '../destination/write-data-file.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { ManifestEntry } from '../staging/manifest.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import { createNews } from './news.ts'
import type { PipelineTableStatus } from './pipeline-status.ts'
import type { TableSelection } from './table-selection.ts'

let engine: Engine
let folder = ''
let volumes = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-pipeline-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const schema = schemaOf(
  { id: { kind: 'int64' }, name: { kind: 'string' }, note: { kind: 'string' } },
  ['id'],
)

const place = (): ReturnType<typeof openPlace> => openPlace(join(folder, String(volumes++)))

const row = (id: number, name: Cell = `n${id}`, note: Cell = `note ${id}`): Cell[] => [
  BigInt(id),
  name,
  note,
]

describe('update()', () => {
  test('loads a copy by links, then applies changes on top', async () => {
    const at = await place()
    const { source } = at
    await source.publish([
      await source.table('1', 'users', schema),
      ...(await source.snapshot('1', schema, [[row(1), row(2)], [], [row(3), row(4), row(5)]])),
    ])
    const pipeline = pipelineOver(at, engine)
    expect(await pipeline.update({ signal })).toMatchObject({
      appliedCommit: 1,
      committedTables: 1,
      failedTables: [],
      caughtUp: true,
    })
    expect(await rowsOf(at.lake, 'main/shop/users', engine)).toEqual([
      row(1),
      row(2),
      row(3),
      row(4),
      row(5),
    ])
    await source.publish([
      await source.changes('1', schema, [
        { op: 'u', sequence: 1, ordinal: 0, cells: [2n, 'two', absent] },
        { op: 'd', sequence: 1, ordinal: 1, cells: [4n, absent, absent] },
        { op: 'i', sequence: 1, ordinal: 2, cells: [44n, 'n44', absent] },
        { op: 'd', sequence: 2, ordinal: 0, cells: [5n, null, null] },
        { op: 'i', sequence: 3, ordinal: 0, cells: [5n, 'again', 'x'] },
      ]),
    ])
    expect(await pipeline.update({ signal })).toMatchObject({
      committedTables: 1,
      failedTables: [],
    })
    const expected = [row(1), row(2, 'two'), row(3), row(5, 'again', 'x'), row(44, 'n44', 'note 4')]
    expect(await rowsOf(at.lake, 'main/shop/users', engine)).toEqual(expected)
    expect(await pipeline.update({ signal })).toMatchObject({ committedTables: 0 })
    // Of the second update: what waited for the first copy says nothing about following.
    expect(pipeline.status().freshness?.count).toBe(2)
    expect(pipeline.status().tables).toMatchObject([
      {
        destination: 'main.shop.users',
        appliedCommit: 2,
        version: 1n,
        rowsLoaded: 5,
        inserts: 2,
        updates: 1,
        deletes: 2,
      },
    ])
    // Another process with the same staging and lake finds nothing to do.
    expect(await pipelineOver(at, engine).update({ signal })).toMatchObject({
      committedTables: 0,
      failedTables: [],
    })
    const gone = { op: 'd', sequence: 4, ordinal: 0, cells: [1n, null, null] } as const
    await source.publish([await source.changes('1', schema, [gone])])
    const next = pipelineOver(at, engine)
    expect(await next.update({ signal })).toMatchObject({ committedTables: 1 })
    expect(next.status().freshness?.count).toBe(2)
  })

  test('one damaged or missing file stops its table only, until a newer copy is there', async () => {
    const at = await place()
    const { source } = at
    const copy = await source.snapshot('1', schema, [[row(1)], [row(2)]])
    const good = await source.snapshot('2', schema, [[row(1)]])
    const lost = await source.snapshot('3', schema, [[row(1)]])
    await source.publish([
      await source.table('1', 'bad', schema),
      await source.table('2', 'good', schema),
      await source.table('3', 'lost', schema),
      ...copy,
      ...good,
      ...lost,
    ])
    const files = [...copy, ...lost].flatMap((entry) =>
      entry.kind === 'snapshot_chunk' ? entry.files : [],
    )
    const bytes = Buffer.from((await at.staging.read(files[1]?.path ?? '')) ?? [])
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 4
    await at.staging.write(files[1]?.path ?? '', bytes)
    await at.staging.delete(files[2]?.path ?? '')
    const pipeline = pipelineOver(at, engine)
    const result = await pipeline.update({ signal })
    expect(result.committedTables).toBe(1)
    expect(codesOf(result.failedTables)).toEqual({
      'main.shop.bad': 'STAGING_FILE_DAMAGED',
      'main.shop.lost': 'STAGING_FILE_MISSING',
    })
    expect(await at.lake.stat('main/shop/bad/_delta_log/00000000000000000000.json')).toBeUndefined()
    expect(await rowsOf(at.lake, 'main/shop/good', engine)).toEqual([row(1)])
    await source.publish(await source.snapshot('1', schema, [[row(7)]], { snapshotId: 1 }))
    expect((await pipeline.update({ signal })).committedTables).toBe(1)
    expect(await rowsOf(at.lake, 'main/shop/bad', engine)).toEqual([row(7)])
  })

  test('leaves a foreign table and the table of another pipeline untouched', async () => {
    const at = await place()
    await at.source.publish([
      await at.source.table('1', 'foreign', schema),
      await at.source.table('2', 'taken', schema),
      ...(await at.source.snapshot('1', schema, [[row(1)]])),
      ...(await at.source.snapshot('2', schema, [[row(1)]])),
    ])
    const foreign = openDeltaTable({ storage: at.lake, root: 'main/shop/foreign' })
    const { protocol, metadata } = standardTable({ columns: schema.columns, createdAtMs: 1 })
    await foreign.commit(undefined, [{ protocol }, { metaData: metadata }])
    const only = { ...wholeSchema, sourceTable: 'taken' }
    await pipelineOver(at, engine, { pipelineId: 'other', tables: [only] }).update({ signal })
    const result = await pipelineOver(at, engine).update({ signal })
    expect(codesOf(result.failedTables)).toEqual({
      'main.shop.foreign': 'DESTINATION_FOREIGN_TABLE',
      'main.shop.taken': 'DESTINATION_TABLE_TAKEN',
    })
    expect((await foreign.snapshot())?.version).toBe(0n)
  })

  test('goes on beside foreign appends and refuses a table whose columns others changed', async () => {
    const at = await place()
    await at.source.publish([
      await at.source.table('1', 't', schema),
      ...(await at.source.snapshot('1', schema, [[row(1), row(2)]])),
    ])
    const pipeline = pipelineOver(at, engine)
    await pipeline.update({ signal })
    const table = openDeltaTable({ storage: at.lake, root: 'main/shop/t' })
    const before = await table.snapshot()
    const foreignFile = await writeDataFiles(
      { engine, table, columns: schema.columns, clock: systemClock },
      "SELECT 9::BIGINT AS id, 'foreign' AS name, 'x' AS note",
      false,
    )
    await table.commit(
      before,
      foreignFile.map((add) => ({ add })),
    )
    const change = (id: number, sequence: number): StagedChange => ({
      op: 'u',
      sequence,
      ordinal: 0,
      cells: row(id, 'new'),
    })
    await at.source.publish([await at.source.changes('1', schema, [change(1, 1), change(9, 2)])])
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([
      row(1, 'new'),
      row(2),
      row(9, 'new'),
    ])
    const now = await table.snapshot()
    const changed = deltaSchemaString(schema.columns.slice(0, 2))
    await table.commit(
      now,
      now === undefined ? [] : [{ metaData: { ...now.metadata, schemaString: changed } }],
    )
    await at.source.publish([await at.source.changes('1', schema, [change(2, 3)])])
    expect(codesOf((await pipeline.update({ signal })).failedTables)).toEqual({
      'main.shop.t': 'DESTINATION_CHANGED_BY_OTHERS',
    })
  })

  test('stops at a barrier and goes on with the next update', async () => {
    const at = await place()
    const { source } = at
    await source.publish([
      await source.table('1', 't', schema),
      ...(await source.snapshot('1', schema, [[row(1)]])),
    ])
    const insert = async (id: number): Promise<ManifestEntry> =>
      source.changes('1', schema, [{ op: 'i', sequence: id, ordinal: 0, cells: row(id) }])
    await source.publish([await insert(2)], true)
    await source.publish([await insert(3)])
    const pipeline = pipelineOver(at, engine)
    expect(await pipeline.update({ signal })).toMatchObject({ appliedCommit: 2, caughtUp: false })
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1), row(2)])
    expect(await pipeline.update({ signal })).toMatchObject({ appliedCommit: 3, caughtUp: true })
    expect(await pipelineOver(at, engine).update({ signal })).toMatchObject({
      caughtUp: true,
      committedTables: 0,
    })
  })

  test('a gap is shown until a newer copy is finished; earlier changes are applied', async () => {
    const at = await place()
    const { source } = at
    await source.publish([
      await source.table('1', 't', schema),
      ...(await source.snapshot('1', schema, [[row(1)]])),
      await source.changes('1', schema, [{ op: 'i', sequence: 1, ordinal: 0, cells: row(2) }]),
      { kind: 'gap', table_id: '1', reason: 'the slot was lost' },
    ])
    const pipeline = pipelineOver(at, engine)
    expect((await pipeline.update({ signal })).committedTables).toBe(1)
    expect(codesOf((await pipeline.update({ signal })).failedTables)).toEqual({
      'main.shop.t': 'PIPELINE_TABLE_GAP',
    })
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1), row(2)])
    await source.publish(await source.snapshot('1', schema, [[row(3)]], { snapshotId: 1 }))
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(3)])
  })

  test('a staging volume that was replaced is noticed', async () => {
    const at = await place()
    const fill = async ({ source }: typeof at, id: number): Promise<void> => {
      await source.publish([
        await source.table('1', 't', schema),
        ...(await source.snapshot('1', schema, [[row(id)]])),
      ])
    }
    await fill(at, 1)
    await at.source.publish([])
    await at.source.publish([])
    await at.source.publish([
      await at.source.changes('1', schema, [{ op: 'i', sequence: 1, ordinal: 0, cells: row(5) }]),
    ])
    await pipelineOver(at, engine).update({ signal })
    const other = await place()
    await fill(other, 2)
    const result = await pipelineOver({ ...other, lake: at.lake }, engine).update({ signal })
    expect(codesOf(result.failedTables)).toEqual({ 'main.shop.t': 'PIPELINE_STAGING_REPLACED' })
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1), row(5)])
  })

  test('other contents under a number that is applied are noticed; a newer copy is loaded', async () => {
    const fill = async (id: number): ReturnType<typeof place> => {
      const at = await place()
      await at.source.publish([
        await at.source.table('1', 't', schema),
        ...(await at.source.snapshot('1', schema, [[row(1)]])),
      ])
      await at.source.publish([
        await at.source.changes('1', schema, [
          { op: 'i', sequence: 1, ordinal: 0, cells: row(id) },
        ]),
      ])
      return at
    }
    const at = await fill(5)
    await pipelineOver(at, engine).update({ signal })
    const other = { ...(await fill(6)), lake: at.lake }
    const pipeline = pipelineOver(other, engine)
    const { failedTables } = await pipeline.update({ signal })
    expect(codesOf(failedTables)).toEqual({ 'main.shop.t': 'PIPELINE_STAGING_REPLACED' })
    expect(failedTables[0]?.problem?.message).toContain('not the one the log has now')
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1), row(5)])
    const copy = await other.source.snapshot('1', schema, [[row(1), row(6)]], { snapshotId: 1 })
    await other.source.publish(copy)
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1), row(6)])
    // What is applied of the log as it is now is compared with it again.
    const again = pipelineOver(other, engine)
    expect((await again.update({ signal })).failedTables).toEqual([])
  })

  test('files with many dead rows are rewritten, small ones are merged', async () => {
    const at = await place()
    const { source } = at
    const big = (id: number): Cell[] => [
      BigInt(id),
      null,
      `${createHash('sha512').update(String(id)).digest('hex')}${id}`,
    ]
    const ids = Array.from({ length: 24_000 }, (_, id) => id)
    await source.publish([
      await source.table('1', 't', schema),
      ...(await source.snapshot('1', schema, [ids.map(big)])),
    ])
    const pipeline = pipelineOver(at, engine)
    await pipeline.update({ signal })
    const table = openDeltaTable({ storage: at.lake, root: 'main/shop/t' })
    const deleteIds = async (list: readonly number[], sequence: number): Promise<void> => {
      const changes = list.map((id, ordinal): StagedChange => ({
        op: 'd',
        sequence,
        ordinal,
        cells: [BigInt(id), null, null],
      }))
      await source.publish([await source.changes('1', schema, changes)])
      expect((await pipeline.update({ signal })).failedTables).toEqual([])
    }
    const filesNow = async (): Promise<AddFile[]> => [
      ...((await table.snapshot())?.files.values() ?? []),
    ]
    await deleteIds(
      ids.filter((id) => id % 4 === 0),
      1,
    )
    expect((await filesNow()).map((file) => file.deletionVector?.cardinality)).toEqual([6000])
    await deleteIds(
      ids.filter((id) => id % 4 === 1),
      2,
    )
    expect((await filesNow()).map((file) => file.deletionVector?.cardinality)).toEqual([undefined])
    for (let n = 1; n <= 12; n++) {
      await source.publish([
        await source.changes('1', schema, [
          { op: 'i', sequence: 2 + n, ordinal: 0, cells: row(100_000 + n) },
        ]),
      ])
      await pipeline.update({ signal })
    }
    expect((await filesNow()).length).toBeLessThan(5)
    await deleteIds(
      ids.filter((id) => id % 4 > 1),
      20,
    )
    expect((await rowsOf(at.lake, 'main/shop/t', engine)).length).toBe(12)
    expect((await filesNow()).every((file) => file.size < 10_000)).toBe(true)
  })
})

describe('run()', () => {
  test('wakes at news, shows freshness, and ends when it is told to', async () => {
    const at = await place()
    const news = createNews()
    const stop = new AbortController()
    const pipeline = pipelineOver(at, engine, { news })
    const running = pipeline.run({ signal: stop.signal })
    await at.source.publish([
      await at.source.table('1', 't', schema),
      ...(await at.source.snapshot('1', schema, [[row(1)]])),
    ])
    news.notify()
    await vi.waitFor(() => expect(pipeline.status().tables[0]?.version).toBe(0n))
    stop.abort()
    await running
    expect(await rowsOf(at.lake, 'main/shop/t', engine)).toEqual([row(1)])
  })
})

describe('createPipeline()', () => {
  test('refuses what it can not do', () => {
    const at = { staging: createMemoryStorage(), lake: createMemoryStorage() }
    const make = (...tables: TableSelection[]): unknown => pipelineOver(at, engine, { tables })
    const one = { ...wholeSchema, sourceTable: 'Users' }
    expect(() => make(one, { ...wholeSchema, sourceTable: 'users' })).toThrow(
      expect.objectContaining({ code: 'PIPELINE_NAME_COLLISION' }),
    )
  })
})

function codesOf(tables: readonly PipelineTableStatus[]): Record<string, string | undefined> {
  return Object.fromEntries(tables.map((table) => [table.destination, table.problem?.code]))
}

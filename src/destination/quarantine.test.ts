/** What a quarantine holds after a copy that was resumed, and when a destination has none any more. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cell, Unfit } from '../../test/support/cells.ts'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  wholeSchema,
  type Place,
} from '../../test/support/pipeline-fixtures.ts'
import { schemaOf, type StagedChange } from '../../test/support/staged-source.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { PipelineOptions } from '../pipeline/pipeline.ts'
import type { UpdateResult } from '../pipeline/pipeline-status.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-quarantine-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const { signal } = new AbortController()
const root = 'main/shop/t'
const schema = schemaOf({ id: { kind: 'int32' }, day: { kind: 'date' } }, ['id'])
const odd = (id: number): Cell[] => [id, new Unfit('infinity')]
const change = (op: StagedChange['op'], sequence: number, cells: Cell[]): StagedChange => ({
  op,
  sequence,
  ordinal: 0,
  cells,
})

async function update(place: Place, options: Partial<PipelineOptions>): Promise<UpdateResult> {
  return await pipelineOver(place, engine, options).update({ signal })
}

const days = async (place: Place): Promise<unknown[][]> =>
  (await rowsOf(place.lake, root, engine)).map((row) => row.slice(0, 2))
const held = async (place: Place): Promise<unknown[]> =>
  (await rowsOf(place.lake, `${root}__quarantine`, engine)).map(([key]) => key)

async function placeWithOddRows(): Promise<Place> {
  const place = await openPlace(join(folder, String(places++)))
  const { source } = place
  await source.publish([
    await source.table('9', 't', schema),
    ...(await source.snapshot('9', schema, [[[1, 1], odd(2)]])),
    await source.changes('9', schema, [change('i', 1, odd(3))]),
  ])
  return place
}

test('under another policy the rows that were held back are in the table, and in no quarantine', async () => {
  for (const scdType of ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY'] as const) {
    const place = await placeWithOddRows()
    const tables = [{ ...wholeSchema, scdType }]
    expect((await update(place, { tables, unfitValues: 'quarantine' })).failedTables).toEqual([])
    expect(await held(place), scdType).toEqual(['{"id":2}', '{"id":3}'])
    const stopped = await update(place, { tables, unfitValues: 'fail' })
    expect(stopped.failedTables).toHaveLength(1)
    expect(await held(place), scdType).toHaveLength(2)
    expect((await update(place, { tables, unfitValues: 'null' })).failedTables).toEqual([])
    expect(await held(place), scdType).toEqual([])
    const rows = (await days(place)).map(String)
    expect(rows, scdType).toEqual(expect.arrayContaining(['1,1970-01-02', '2,', '3,']))
    // And back again.
    expect((await update(place, { tables, unfitValues: 'quarantine' })).failedTables).toEqual([])
    expect(await held(place), scdType).toEqual(['{"id":2}', '{"id":3}'])
  }
})

test('a stop between the load under another policy and the end of the quarantine', async () => {
  const place = await placeWithOddRows()
  await update(place, { unfitValues: 'quarantine' })
  const failpoints = {
    hit(name: string): void {
      if (name === 'destination.after-commit') throw new Error('stop')
    },
  }
  expect((await update(place, { unfitValues: 'null', failpoints })).failedTables).toHaveLength(1)
  expect(await held(place)).toHaveLength(2)
  expect((await update(place, { unfitValues: 'null' })).failedTables).toEqual([])
  expect(await held(place)).toEqual([])
  expect(await days(place)).toEqual([
    [1, '1970-01-02'],
    [2, null],
    [3, null],
  ])
})

/** Row 2 fits since, row 3 is gone, row 4 does not fit any more; `later` on top of the copy. */
async function placeOfResumed(first: Cell[][], refreshed: Cell[][]): Promise<Place> {
  const place = await openPlace(join(folder, String(places++)))
  const { source } = place
  const head = { table_id: '9', snapshot_id: 0, schema_version: 0 }
  const staged = await source.snapshot('9', schema, [first, [[50, 5]], refreshed])
  const [done = [], rest = [], refresh = []] = staged.flatMap((entry) =>
    entry.kind === 'snapshot_chunk' ? [entry.files] : [],
  )
  await source.publish([
    await source.table('9', 't', schema),
    { kind: 'snapshot_started', ...head, point: 'first', chunk_count: 2 },
    { kind: 'snapshot_chunk', ...head, chunk: 0, files: done, range: '0-8' },
  ])
  const resumed = { resumption: 1, table_id: '9', snapshot_id: 0 }
  const chunk = { kind: 'snapshot_chunk', ...head, ...resumed } as const
  const between = [2, 3, 4].map((id) => change(id === 3 ? 'd' : 'u', id, [id, 7]))
  await source.publish([
    await source.changes('9', schema, between),
    { kind: 'snapshot_resumed', ...resumed, point: 'second', first_chunk: 1, chunk_count: 2 },
    { ...chunk, chunk: 1, files: rest, range: '8-' },
    { ...chunk, chunk: 2, files: refresh, range: '0-8', refresh: true },
    { kind: 'snapshot_finished', table_id: '9', snapshot_id: 0, rows: 6 },
  ])
  return place
}

test('only rows that are in the result of a resumed copy count: none that has a newer version', async () => {
  const fitting = await placeOfResumed(
    [[1, 1], odd(2), odd(3), [4, 4]],
    [
      [2, 7],
      [4, 7],
    ],
  )
  expect((await update(fitting, { unfitValues: 'fail' })).failedTables).toEqual([])
  expect((await days(fitting)).map(([id]) => id)).toEqual([1, 2, 4, 50])
  const apart = await placeOfResumed([odd(1), odd(2), odd(3), [4, 4]], [[2, 7], odd(4)])
  const { failedTables } = await update(apart, { unfitValues: 'fail' })
  expect(failedTables[0]?.problem?.message).toContain('column "day" has 2 values')
  for (const scdType of ['SCD_TYPE_1', 'SCD_TYPE_2'] as const) {
    const place = await placeOfResumed([odd(1), odd(2), odd(3), [4, 4]], [[2, 7], odd(4)])
    const tables = [{ ...wholeSchema, scdType }]
    expect((await update(place, { tables, unfitValues: 'quarantine' })).failedTables).toEqual([])
    expect(await held(place), scdType).toEqual(['{"id":1}', '{"id":4}'])
    expect((await days(place)).map(([id]) => id)).toEqual([2, 50])
  }
})

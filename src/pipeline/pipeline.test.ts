import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { absent, type Cell } from '../../test/support/cells.ts'
import { schemaOf } from '../../test/support/staged-source.ts'
import { openPlace, pipelineOver, rowsOf } from '../../test/support/pipeline-fixtures.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'

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
    expect(pipeline.status().freshness?.count).toBe(4)
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
  })
})

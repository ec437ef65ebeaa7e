/** Values that do not fit while the columns of their table change. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cell, Unfit } from '../../test/support/cells.ts'
import { openPlace, pipelineOver, rowsOf } from '../../test/support/pipeline-fixtures.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import type { ManifestEntry } from '../staging/manifest.ts'

let engine: Engine
let folder = ''
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-unfit-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const { signal } = new AbortController()
const unfit = (text: string): Unfit => new Unfit(text)

test('columns that come and go: texts follow their column, and a table without any is not stuck', async () => {
  const column = (id: number, name: string, kind: 'int32' | 'string' | 'date'): SourceColumn => ({
    id: String(id),
    name,
    type: { kind },
    sourceType: kind,
    nullable: id > 1,
  })
  const [id, x, d] = [column(1, 'id', 'int32'), column(2, 'x', 'string'), column(3, 'day', 'date')]
  const schemas = [
    { columns: [id, x, d], key: ['id'] },
    { columns: [id, d], key: ['id'] },
    { columns: [id], key: ['id'] },
  ]
  const schemaOf = (version: number): TableSchema => schemas[version] ?? { columns: [], key: [] }
  for (const [policy, held] of [
    ['string', 'infinity'],
    ['clamp', '9999-12-31'],
  ] as const) {
    const place = await openPlace(join(folder, policy))
    const { source } = place
    const pipeline = pipelineOver(place, engine, { unfitValues: policy })
    const rows = async (): Promise<unknown[][]> => await rowsOf(place.lake, 'main/shop/t', engine)
    const step = async (version: number): Promise<ManifestEntry[]> => [
      await source.table('9', 't', schemaOf(version), version),
      {
        kind: 'schema_change',
        table_id: '9',
        snapshot_id: 0,
        schema_version: version,
        sequence: String(version * 10),
        ordinal: 0,
      },
    ]
    const staged = async (
      version: number,
      sequence: number,
      cells: Cell[],
    ): Promise<ManifestEntry> =>
      await source.changes('9', schemaOf(version), [{ op: 'i', sequence, ordinal: 0, cells }], {
        version,
      })
    await source.publish([
      await source.table('9', 't', schemaOf(0)),
      ...(await source.snapshot('9', schemaOf(0), [[[1, 'x', unfit('infinity')]]])),
      await staged(0, 1, [2, 'x', unfit('infinity')]),
      ...(await step(1)),
      await staged(1, 11, [3, unfit('infinity')]),
    ])
    expect((await pipeline.update({ signal })).failedTables).toEqual([])
    expect((await rows()).map((row) => row.map(String))).toEqual([
      ['1', held],
      ['2', held],
      ['3', held],
    ])
    await source.publish([...(await step(2)), await staged(2, 21, [4])])
    expect(await pipeline.update({ signal })).toMatchObject({
      failedTables: [],
      committedTables: 1,
    })
    expect(await rows()).toEqual([[1], [2], [3], [4]])
  }
})

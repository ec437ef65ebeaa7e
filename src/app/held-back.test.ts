import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Unfit } from '../../test/support/cells.ts'
import { openPlace, pipelineOver } from '../../test/support/pipeline-fixtures.ts'
import { schemaOf } from '../../test/support/staged-source.ts'
import type { UnfitPolicy } from '../columnar/unfit-policy.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import { openEngine } from '../engine/duckdb.ts'
import type { Context } from './context.ts'
import { HeldBackRows } from './held-back.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-held-back-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('rows in quarantine are counted once each, and only while the table has one', async () => {
  const { signal } = new AbortController()
  const place = await openPlace(folder)
  const { source } = place
  const schema = schemaOf(
    { id: { kind: 'int32' }, day: { kind: 'date' }, at: { kind: 'timestamp' } },
    ['id'],
  )
  const odd = (id: number) => [id, new Unfit('infinity'), new Unfit('infinity')]
  await source.publish([
    await source.table('9', 't', schema),
    ...(await source.snapshot('9', schema, [[[1, 1, 1n], odd(2), odd(3)]])),
    await source.changes('9', schema, [{ op: 'u', sequence: 1, ordinal: 0, cells: odd(2) }]),
  ])
  const context = {
    folders: async () => ({
      table: ({ catalog, schema: name, table }: Record<string, string>) =>
        `${catalog}/${name}/${table}`,
    }),
    deltaTable: (root: string) => openDeltaTable({ storage: place.lake, root }),
    openEngine: () => openEngine({ threads: 1 }),
  } as unknown as Context
  const name = { catalog: 'main', schema: 'shop', table: 't' }
  const location = 'main/shop/t'
  const record = {
    name,
    pipelineId: 'p1',
    tableId: '9',
    source: 'public.t',
    scdType: 'SCD_TYPE_1',
    location,
  } as const
  const counted = async (unfitValues: UnfitPolicy): Promise<unknown> => {
    const engine = await openEngine({ threads: 1 })
    const held = new HeldBackRows(context)
    try {
      await pipelineOver(place, engine, { unfitValues }).update({ signal })
      const snapshot = await context.deltaTable(location).snapshot()
      return snapshot && (await held.of(record, snapshot))
    } finally {
      await held.close()
      await engine.close()
    }
  }
  expect(await counted('quarantine')).toEqual({ table: 'main.shop.t__quarantine', rows: 2n })
  expect(await counted('null')).toBeUndefined()
  expect(await counted('quarantine')).toEqual({ table: 'main.shop.t__quarantine', rows: 2n })
})

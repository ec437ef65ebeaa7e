/** Keeping house in a real data folder: what a run leaves behind goes, what is needed stays. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { draftOf, openTestLog, stageChanges } from '../../test/support/staging-fixtures.ts'
import { standardTable } from '../delta/standard-table.ts'
import { configurationKeys } from '../destination/destination-state.ts'
import type { Log, LogFields } from '../observe/log.ts'
import type { PipelineStatus, PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import { manifestPath } from '../staging/layout.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { type Context, openContext } from './context.ts'
import { keepHouse, keepHouseOnce, type KeptLane } from './housekeeping.ts'

const dayMs = 86_400_000
const name = { catalog: 'main', schema: 'shop', table: 't' }
const folders: string[] = []

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

interface House {
  readonly context: Context
  readonly lane: KeptLane
  readonly location: string
  readonly said: readonly { readonly message: string; readonly fields: LogFields | undefined }[]
  status: PipelineStatus
  /** How often the pipeline was asked for it. */
  asked: number
}

const tableStatus: PipelineTableStatus = {
  tableId: '7',
  destination: 'main.shop.t',
  appliedCommit: 2,
  version: 0n,
  rowsLoaded: 0,
  inserts: 0,
  updates: 0,
  deletes: 0,
}

/** A table of pipeline `owner`, on record as that of pipeline `p`. */
async function createHouse(owner = 'p'): Promise<House> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'sluice-house-'))
  folders.push(dataFolder)
  const said: { message: string; fields: LogFields | undefined }[] = []
  const say = (message: string, fields?: LogFields): number => said.push({ message, fields })
  const log: Log = { debug: say, info: say, warn: say, error: say, child: () => log }
  const context = openContext({ dataFolder, env: {}, log, catalog: 'create' })
  const location = join(dataFolder, 'lake', 'main', 'shop', 't')
  const record = { name, pipelineId: 'p', tableId: '7', source: 'public.t', location }
  await context.store.saveDestination({ ...record, scdType: 'SCD_TYPE_1' })
  const configuration = { [configurationKeys.pipelineId]: owner }
  const { protocol, metadata } = standardTable({ columns: [], configuration, createdAtMs: 0 })
  await context.deltaTable(location).commit(undefined, [{ protocol }, { metaData: metadata }])
  const staging = { catalog: 'main', schema: 'staging', volume: 'v' }
  const statusOf = (): PipelineStatus => {
    house.asked++
    return house.status
  }
  const house: House = {
    context,
    location,
    said,
    asked: 0,
    status: { tables: [tableStatus], freshness: undefined, updates: 1, passedCommit: 1000 },
    lane: {
      gateway: {
        definition: { key: 'g', staging },
        storage: createLocalStorage((await context.folders()).volume(staging)),
      },
      pipelines: [{ definition: { id: 'p' }, pipeline: { status: statusOf } }],
    },
  }
  return house
}

function leave(file: string, ageDays: number): void {
  writeFileSync(file, 'x')
  const time = new Date(Date.now() - ageDays * dayMs)
  utimesSync(file, time, time)
}

const never = new AbortController().signal

/** Commits `ages.length` manifests, each so many days old. */
async function stageAged(house: House, ages: readonly number[]): Promise<void> {
  let age = ages[0] ?? 0
  const clock = { nowMs: () => Date.now() - age * dayMs }
  const log = await openTestLog(house.lane.gateway.storage, { clock })
  for (const [index, next] of ages.entries()) {
    age = next
    const named = {
      kind: 'table',
      table_id: '7',
      source_schema: 'public',
      source_table: 't',
      schema_version: 0,
    } as const
    const entry = index === 0 ? named : await stageChanges(log, '7', 100 + index)
    await log.publish(draftOf([entry]))
  }
}

test('leftovers of killed processes go, young ones stay', async () => {
  const { context, lane, location } = await createHouse()
  leave(join(location, 'part-lost.parquet'), 8)
  leave(join(location, 'part-new.parquet'), 6)
  leave(join(location, '.sluice-tmp-old'), 2)
  leave(join(location, '.sluice-tmp-new'), 0)
  const volume = (await context.folders()).volume(lane.gateway.definition.staging)
  mkdirSync(join(volume, '_log'), { recursive: true })
  leave(join(volume, '_log', '.sluice-tmp-old'), 2)
  mkdirSync(join(context.dataFolder, 'tmp', `engine-${process.pid}`), { recursive: true })
  mkdirSync(join(context.dataFolder, 'tmp', 'engine-4194999'))
  await keepHouseOnce(context, [lane], never)
  expect(readdirSync(location).toSorted()).toEqual([
    '.sluice-tmp-new',
    '_delta_log',
    // Its bytes are old, its name is not: a load may have linked it just now.
    'part-lost.parquet',
    'part-new.parquet',
  ])
  expect(readdirSync(join(volume, '_log'))).toEqual([])
  expect(readdirSync(join(context.dataFolder, 'tmp'))).toEqual([`engine-${process.pid}`])

  const clock = { ...context.clock, nowMs: () => Date.now() + 8 * dayMs }
  await keepHouseOnce({ ...context, clock }, [lane], never)
  expect(readdirSync(location)).toEqual(['_delta_log'])
  await context.close()
})

test('a table that is not this pipeline’s is not touched', async () => {
  const { context, lane, location } = await createHouse('somebody else')
  leave(join(location, 'part-lost.parquet'), 100)
  await keepHouseOnce(context, [lane], never)
  await keepHouseOnce(context, [{ ...lane, pipelines: [] }], never)
  expect(readdirSync(location)).toContain('part-lost.parquet')
  await context.close()
})

test('staged data beyond its retention is purged; who had not applied it is named', async () => {
  const house = await createHouse()
  const { context, lane, said } = house
  await stageAged(house, [40, 39, 38, 37, 1])
  const problem = { code: 'X', message: 'stuck', remedy: '' }
  house.status = { ...house.status, tables: [{ ...tableStatus, problem }] }
  await keepHouseOnce(context, [lane], never)
  const loss = said.find(({ message }) => message.includes('aged out before it was applied'))
  expect(loss?.fields).toMatchObject({ pipeline: 'p', tables: '7' })
  // Commit 0 is the one that took the volume over; only the newest is young.
  expect(await lane.gateway.storage.stat(manifestPath(4))).toBeUndefined()
  expect(await lane.gateway.storage.stat(manifestPath(5))).toBeDefined()
  await context.close()
})

test('a table with nothing to do for long has lost nothing', async () => {
  const house = await createHouse()
  await stageAged(house, [40, 39, 38, 37, 1])
  await keepHouseOnce(house.context, [house.lane], never)
  expect(house.said.map(({ message }) => message)).toEqual(['staging volume purged'])
  await house.context.close()
})

test('nothing is purged before a pipeline has looked at it, nor when all is young', async () => {
  const house = await createHouse()
  const { context, lane } = house
  await stageAged(house, [40, 1])
  house.status = { ...house.status, updates: 0 }
  const stop = new AbortController()
  const keeping = keepHouse(context, [lane], stop.signal)
  await expect.poll(() => house.asked).toBeGreaterThan(0)
  stop.abort()
  await keeping
  expect(await lane.gateway.storage.stat(manifestPath(0))).toBeDefined()
  const young = await createHouse()
  await stageAged(young, [30.5, 1])
  await keepHouseOnce(young.context, [young.lane], never)
  expect(young.said).toEqual([])
  await young.context.close()
  await context.close()
})

test('what can not be cleaned up is said, and the rest is done', async () => {
  const { context, lane, location, said } = await createHouse()
  writeFileSync(join(location, '_delta_log', `${'0'.repeat(20)}.json`), 'torn')
  const volume = (await context.folders()).volume(lane.gateway.definition.staging)
  mkdirSync(join(volume, '_log'), { recursive: true })
  writeFileSync(join(volume, '_log', '_first'), 'torn')
  mkdirSync(join(context.dataFolder, 'tmp', 'engine-4194999'), { recursive: true })
  await keepHouseOnce(context, [lane], never)
  expect(said.map(({ fields }) => fields?.['code'])).toEqual([
    'DELTA_LOG_CORRUPT',
    'STAGING_MANIFEST_UNREADABLE',
  ])
  expect(readdirSync(join(context.dataFolder, 'tmp'))).toEqual([])
  await context.close()
})

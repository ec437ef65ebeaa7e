/** What goes, what stays, and that no retained version ever misses a file. */
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createLocalStorage } from '../storage/local-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { AddFile } from './actions.ts'
import type { DeltaSnapshot, DeltaTable } from './delta-table.ts'
import { relativeVectorPath } from './deletion-vector.ts'
import { openDeltaTable } from './open-delta-table.ts'
import { standardTable } from './standard-table.ts'
import { vacuum } from './vacuum.ts'

const dayMs = 86_400_000
const bytes = new Uint8Array(10)

interface World {
  readonly storage: ObjectStorage
  readonly table: DeltaTable
  nowMs: number
  snapshot: DeltaSnapshot
}

async function createWorld(configuration: Record<string, string> = {}): Promise<World> {
  let nowMs = 0
  const storage = createMemoryStorage(() => nowMs)
  const table = openDeltaTable({ storage, root: 'shop/t', clock: { nowMs: () => nowMs } })
  const { protocol, metadata } = standardTable({ columns: [], configuration, createdAtMs: 0 })
  const { snapshot } = await table.commit(undefined, [{ protocol }, { metaData: metadata }])
  return {
    storage,
    table,
    snapshot,
    get nowMs() {
      return nowMs
    },
    set nowMs(value) {
      nowMs = value
    },
  }
}

const fileOf = (name: string): AddFile => ({
  path: name,
  partitionValues: {},
  size: bytes.length,
  modificationTime: 0,
  dataChange: true,
  stats: '{"numRecords":3}',
})

async function write(world: World, name: string): Promise<void> {
  await world.storage.write(`shop/t/${name}`, bytes)
}

async function add(world: World, file: AddFile): Promise<void> {
  const outcome = await world.table.commit(world.snapshot, [{ add: file }])
  expect(outcome.kind).toBe('committed')
  world.snapshot = outcome.snapshot
}

async function remove(world: World, file: AddFile): Promise<void> {
  const action = { path: file.path, deletionTimestamp: world.nowMs, dataChange: true }
  const { deletionVector } = file
  const outcome = await world.table.commit(world.snapshot, [
    { remove: { ...action, ...(deletionVector === undefined ? {} : { deletionVector }) } },
  ])
  world.snapshot = outcome.snapshot
}

async function names(world: World): Promise<string[]> {
  const found: string[] = []
  for await (const { path } of world.storage.list('')) {
    if (!path.includes('_delta_log')) found.push(path.replace('shop/t/', ''))
  }
  return found
}

const clean = (world: World): ReturnType<typeof vacuum> =>
  vacuum({ table: world.table, nowMs: world.nowMs })

test('a file that no commit ever named goes after seven days, not before', async () => {
  const world = await createWorld()
  await write(world, 'part-lost.parquet')
  await write(world, 'deletion_vector_lost.bin')
  world.nowMs = 7 * dayMs
  expect(await clean(world)).toEqual({ removedFiles: 0, removedBytes: 0 })
  world.nowMs++
  expect(await clean(world)).toEqual({ removedFiles: 2, removedBytes: 20 })
  expect(await names(world)).toEqual([])
})

test('live files and their vectors stay however old they are', async () => {
  const world = await createWorld()
  const [deletionVector] = await world.table.writeDeletionVectors([new BigUint64Array([1n])])
  if (deletionVector === undefined) throw new Error('no vector')
  await write(world, 'part a%.parquet')
  await add(world, { ...fileOf('part%20a%25.parquet'), deletionVector })
  world.nowMs = 400 * dayMs
  expect(await clean(world)).toEqual({ removedFiles: 0, removedBytes: 0 })
  expect(await names(world)).toEqual([relativeVectorPath(deletionVector), 'part a%.parquet'])
})

test('removed files stay for the retention that begins with their removal', async () => {
  const world = await createWorld()
  const [deletionVector] = await world.table.writeDeletionVectors([new BigUint64Array([1n])])
  if (deletionVector === undefined) throw new Error('no vector')
  await write(world, 'f.parquet')
  const file = { ...fileOf('f.parquet'), deletionVector }
  await add(world, file)
  world.nowMs = 100 * dayMs
  await remove(world, file)
  world.nowMs = 107 * dayMs
  expect((await clean(world)).removedFiles).toBe(0)
  world.nowMs = 107 * dayMs + 1
  expect((await clean(world)).removedFiles).toBe(2)
})

test('a shorter retention is kept, but never below a day', async () => {
  const property = 'delta.deletedFileRetentionDuration'
  const world = await createWorld({ [property]: 'interval 0 seconds' })
  await write(world, 'part-being-written.parquet')
  world.nowMs = dayMs
  expect((await clean(world)).removedFiles).toBe(0)
  world.nowMs = dayMs + 1
  expect((await clean(world)).removedFiles).toBe(1)
})

test('what is not a data file of ours is left alone', async () => {
  const world = await createWorld()
  const foreign = ['.hidden/f.parquet', '_index/f.parquet', 'notes.txt', 'x.bin', '.sluice-tmp-1']
  for (const name of foreign) await write(world, name)
  await world.storage.write('shop/t2/part-1.parquet', bytes)
  world.nowMs = 100 * dayMs
  expect((await clean(world)).removedFiles).toBe(0)
  expect(await names(world)).toHaveLength(foreign.length + 1)
})

test('without a log nothing is removed', async () => {
  const storage = createMemoryStorage(() => 0)
  await storage.write('t/part-1.parquet', bytes)
  const table = openDeltaTable({ storage, root: 't' })
  expect((await vacuum({ table, nowMs: 100 * dayMs })).removedFiles).toBe(0)
})

test('a stop between two removals is finished by the next call', async () => {
  const world = await createWorld()
  for (const name of ['a', 'b', 'c']) await write(world, `${name}.parquet`)
  world.nowMs = 8 * dayMs
  const { table, nowMs } = world
  const failpoints = {
    hit: (name: string): never => {
      throw new Error(name)
    },
  }
  await expect(vacuum({ table, nowMs, failpoints })).rejects.toThrow('delta.vacuum-file-removed')
  expect(await names(world)).toEqual(['b.parquet', 'c.parquet'])
  expect((await clean(world)).removedFiles).toBe(2)
  const stopped = await vacuum({ table, nowMs, signal: AbortSignal.abort() })
  expect(stopped.removedFiles).toBe(0)
})

test('after any history, files of the live version are there and nothing dead and old is', async () => {
  const step = fc.record({
    days: fc.nat({ max: 5 }),
    kind: fc.constantFrom('add', 'remove', 'lose', 'vacuum'),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const world = await createWorld()
      const live: string[] = []
      const deadSince = new Map<string, number>()
      let next = 0
      for (const { days, kind } of steps) {
        world.nowMs += days * dayMs
        const name = `f${next++}.parquet`
        if (kind === 'vacuum') await clean(world)
        else if (kind === 'remove') {
          const gone = live.shift()
          if (gone === undefined) continue
          await remove(world, fileOf(gone))
          deadSince.set(gone, world.nowMs)
        } else {
          await write(world, name)
          if (kind === 'add') {
            await add(world, fileOf(name))
            live.push(name)
          } else deadSince.set(name, world.nowMs)
        }
      }
      await clean(world)
      const young = [...deadSince].filter(([, since]) => since >= world.nowMs - 7 * dayMs)
      const expected = [...live, ...young.map(([name]) => name)].toSorted()
      expect((await names(world)).toSorted()).toEqual(expected)
    }),
    { numRuns: 50 },
  )
})

test('vacuum() keeps a file that was linked just now from one staged long ago', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-vacuum-'))
  try {
    const staging = createLocalStorage(join(folder, 'staging'))
    await staging.write('old.parquet', bytes)
    const longAgo = new Date(Date.now() - 100 * dayMs)
    await utimes(join(folder, 'staging', 'old.parquet'), longAgo, longAgo)
    const storage = createLocalStorage(join(folder, 'table'))
    const table = openDeltaTable({ storage, root: '' })
    const { protocol, metadata } = standardTable({ columns: [], createdAtMs: 0 })
    await table.commit(undefined, [{ protocol }, { metaData: metadata }])
    // A load has linked the file and is about to commit it.
    await storage.linkFrom(staging, 'old.parquet', 'linked.parquet')
    expect((await vacuum({ table, nowMs: Date.now() })).removedFiles).toBe(0)
    expect((await vacuum({ table, nowMs: Date.now() + 8 * dayMs })).removedFiles).toBe(1)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

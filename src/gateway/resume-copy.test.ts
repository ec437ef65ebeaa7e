/**
 * Copies that are cut off again and again, by kills and by age, under writers whose rows wander
 * through the table: what is staged gives exactly the source's tables, and no part is read twice.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Change, fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld, type ProcessOptions } from '../../test/support/gateway/gateway-world.ts'
import { FakeTime } from '../../test/support/gateway/fake-time.ts'
import { openMemoryStaging, StagingDisk } from '../../test/support/gateway/memory-staging.ts'
import { SluiceError } from '../base/errors.ts'
import { silentLog } from '../observe/log.ts'
import type { Source } from '../source/source.ts'
import type { ManifestEntry } from '../staging/manifest.ts'
import { CopyLedger } from './copy-ledger.ts'
import { CopyPoints } from './copy-points.ts'
import { DeliveredTransactions } from './delivered-transactions.ts'
import { FollowedTable } from './followed-table.ts'
import type { Progress } from './progress.ts'
import { resumeCopy } from './resume-copy.ts'
import type { GatewaySettings } from './settings.ts'
import { StreamGate } from './stream-gate.ts'

function entriesOf(world: GatewayWorld): ManifestEntry[] {
  return world.disk.manifests.flatMap((manifest) => manifest.entries)
}

/** Those before a truncate, which would begin a copy anew. */
function untilTruncate(changes: readonly Change[]): readonly Change[] {
  const end = changes.findIndex(({ op }) => op === 'truncate')
  return end < 0 ? changes : changes.slice(0, end)
}

/** Every chunk is published at once, and is small. */
const small: Partial<GatewaySettings> = { chunkIntervalMs: 0, snapshotWorkers: 2 }

function busyWorld(seed: number, writes: number): GatewayWorld {
  const world = new GatewayWorld([fakeTable('1'), fakeTable('2')], seed)
  const { random, database } = world
  for (let n = 0; n < 5; n++) database.commit(database.randomChanges(random, 20))
  let left = 150
  world.writers = () => {
    if (random.chance(0.05)) database.showAll(() => random.chance(0.5))
    if (left === 0 || !random.chance(writes)) return
    left--
    database.commit(
      untilTruncate(database.randomChanges(random, random.int(1, 5))),
      !random.chance(0.3),
    )
  }
  return world
}

interface Played {
  readonly resumed: number
  readonly copies: number
}

async function play(
  world: GatewayWorld,
  lives: readonly number[],
  settings: Partial<GatewaySettings>,
): Promise<Played> {
  // A coarse decoder goes on delivering while a copy is begun.
  const source = { chunks: 6, pressureEvery: world.random.pick([1, 3, 50]) }
  const options: ProcessOptions = { mode: 'once', settings, source }
  const total = { resumed: 0, copies: 0 }
  for (const diesAt of lives) {
    const life = await world.process({ ...options, diesAt })
    total.resumed += life.source.resumed.length
    total.copies += life.source.copies.length
  }
  world.writers = () => undefined
  const last = await world.process(options)
  if (last.kind === 'rejected') throw last.error
  expect(last.result.failedTables).toEqual([])
  world.assertExact()
  expect(world.loadable()).toEqual(['1', '2'])
  const { resumed, copies } = last.source
  return { resumed: total.resumed + resumed.length, copies: total.copies + copies.length }
}

test('copies that are killed again and again are exact', async () => {
  let resumed = 0
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.array(fc.integer({ min: 10, max: 90 }), { minLength: 1, maxLength: 8 }),
      async (seed, lives) => {
        resumed += (await play(busyWorld(seed, 0.4), lives, small)).resumed
      },
    ),
    { numRuns: 40 },
  )
  expect(resumed).toBeGreaterThan(20)
})

test('trap: copies whose snapshots grow old at once are exact, and come to an end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer(),
      fc.array(fc.integer({ min: 20, max: 120 }), { maxLength: 4 }),
      async (seed, lives) => {
        const settings = { ...small, snapshotMaxAgeMs: 0 }
        const { resumed } = await play(busyWorld(seed, 0.4), lives, settings)
        expect(resumed).toBeGreaterThan(0)
      },
    ),
    { numRuns: 25 },
  )
})

/** A copy of table 1 that dies when `chunks` chunks are on record. */
async function cutOff(world: GatewayWorld, chunks: number): Promise<void> {
  await world.process({
    mode: 'once',
    settings: { ...small, snapshotWorkers: 1 },
    source: { chunks: 6 },
    atStep() {
      const staged = entriesOf(world).filter(({ kind }) => kind === 'snapshot_chunk')
      if (staged.length >= chunks) throw new SluiceError('STAGING_FENCED', 'killed')
    },
  })
}

function worldOfOne(): GatewayWorld {
  const world = new GatewayWorld([fakeTable('1')])
  const { random, database } = world
  for (let n = 0; n < 5; n++) {
    database.commit(untilTruncate(database.randomChanges(random, 20)))
  }
  return world
}

test('what is staged is not read again, but for a refresh', async () => {
  const world = worldOfOne()
  await cutOff(world, 3)
  const staged = entriesOf(world).flatMap((entry) =>
    entry.kind === 'snapshot_chunk' ? [entry.range] : [],
  )
  expect(staged).toEqual(['0:0-2', '0:2-4', '0:4-6'])
  const { source } = await world.process({ mode: 'once', settings: small, source: { chunks: 3 } })
  expect(source.copies).toEqual([])
  expect(source.resumed).toEqual(['1'])
  expect(source.chunksRead.toSorted()).toEqual([
    '1 0:0-6 again',
    '1 0:10-12 ',
    '1 0:6-8 ',
    '1 0:8-10 ',
  ])
  const resumed = entriesOf(world).find(({ kind }) => kind === 'snapshot_resumed')
  expect(resumed).toMatchObject({ snapshot_id: 0, resumption: 1, first_chunk: 6, chunk_count: 4 })
  world.assertExact()
})

test('trap: a copy that is not resumed is on record as a gap, or a later start would take it up', async () => {
  const world = worldOfOne()
  await cutOff(world, 3)
  // Another file: the places of the rows mean nothing any more.
  world.database.commit([{ op: 'truncate', tables: [fakeTable('1').id] }])
  // This life ends after the refusal, before another copy is on record, and lets changes go by.
  await world.process({
    mode: 'once',
    settings: small,
    atStep({ name, gateway }) {
      const [table] = gateway.status().tables
      if (table?.state !== 'pending' || name !== 'before snapshot') return
      world.database.commit([{ op: 'i', table: fakeTable('1'), row: { id: 90, a: 'x', b: 'y' } }])
      throw new SluiceError('STAGING_FENCED', 'killed')
    },
  })
  expect(entriesOf(world)).toContainEqual(expect.objectContaining({ kind: 'gap', table_id: '1' }))
  const { source } = await world.process({ mode: 'once', settings: small })
  expect(source.resumed).toEqual([])
  expect(source.copies).toEqual(['1'])
  world.assertExact()
})

test('a copy whose chunks were read with another schema begins anew', async () => {
  const world = worldOfOne()
  await cutOff(world, 3)
  world.database.commit([{ op: 'alter', table: fakeTable('1', ['a', 'b', 'c']) }])
  const { source } = await world.process({ mode: 'once', settings: small })
  expect([source.resumed, source.copies]).toEqual([[], ['1']])
  world.assertExact()
})

test('a copy that is cut off inside a process goes on where it was', async () => {
  const world = worldOfOne()
  let rows = 0
  const { source } = await world.process({
    mode: 'once',
    settings: { ...small, snapshotWorkers: 1 },
    source: { chunks: 6 },
    atStep({ name }) {
      // Every try of one chunk fails, and then no more.
      if (name === 'chunk row' && ++rows > 4 && rows < 8) throw new Error('connection reset')
    },
  })
  expect([source.copies, source.resumed]).toEqual([['1'], ['1']])
  world.assertExact()
})

test('a table that is created while another is copied is taken in, and costs no copy', async () => {
  const world = worldOfOne()
  let isCreated = false
  const states: string[] = []
  const { source } = await world.process({
    mode: 'continuous',
    settings: { ...small, snapshotWorkers: 1, snapshotBytesPerSecond: 1 },
    source: { chunks: 6 },
    atStep({ name, gateway, stop }) {
      if (name === 'chunk row' && !isCreated) {
        isCreated = true
        world.database.create(fakeTable('2'))
        world.database.commit([{ op: 'i', table: fakeTable('2'), row: { id: 1, a: 'x', b: null } }])
      }
      const { tables } = gateway.status()
      const seen = tables.map(({ tableId, state }) => `${tableId} ${state}`).join()
      if (states.at(-1) !== seen) states.push(seen)
      if (seen === '1 streaming,2 streaming') stop()
    },
  })
  // It was met while the copy of the first went on.
  expect(states).toContain('1 snapshotting,2 pending')
  expect([source.copies.toSorted(), source.resumed]).toEqual([['1', '2'], []])
  world.assertExact()
})

test('a refresh of one table leaves the others as fresh as they were', async () => {
  const world = new GatewayWorld([fakeTable('1'), fakeTable('2')])
  const { database } = world
  for (let id = 0; id < 30; id++) {
    database.commit([{ op: 'i', table: fakeTable('2'), row: { id, a: 'x'.repeat(50), b: null } }])
  }
  await world.process({ mode: 'once' })
  let id = 0
  const { source } = await world.process({
    mode: 'continuous',
    refresh: ['2'],
    settings: { ...small, snapshotBytesPerSecond: 10, flushIntervalMs: 50 },
    atStep({ name, gateway, stop }) {
      if (name === 'chunk row') {
        database.commit([{ op: 'i', table: fakeTable('1'), row: { id: id++, a: 'y', b: null } }])
      }
      const { tables } = gateway.status()
      if (id > 0 && tables.every(({ state }) => state === 'streaming')) stop()
    },
  })
  expect(source.copies).toEqual(['2'])
  const all = entriesOf(world)
  const begun = all.findIndex(
    (entry) => entry.kind === 'snapshot_started' && entry.snapshot_id === 1,
  )
  const end = all.findLastIndex(({ kind }) => kind === 'snapshot_finished')
  const between = all
    .slice(begun, end)
    .filter(({ kind, table_id }) => kind === 'changes' && table_id === '1')
  expect(between.length).toBeGreaterThan(5)
  world.assertExact()
})

test('trap: a copy from before the log of the source was replaced is not resumed', async () => {
  const world = worldOfOne()
  await cutOff(world, 3)
  let left = 1
  const { source } = await world.process({
    mode: 'once',
    refresh: 'all',
    settings: small,
    atStep({ name }) {
      if (name === 'prepare' && left-- > 0) throw new SluiceError('SOURCE_LOG_LOST', 'gone')
    },
  })
  expect([source.resumed, source.copies]).toEqual([[], ['1']])
  world.assertExact()
})

test('trap: killed right after the log was replaced, what came from the former one is not gone on with', async () => {
  const lost = (): ((moment: { readonly name: string }) => void) => {
    let left = 1
    return ({ name }) => {
      if (name === 'prepare' && left-- > 0) throw new SluiceError('SOURCE_LOG_LOST', 'gone')
    }
  }
  let killedBetween = 0
  for (let diesAt = 1; ; diesAt++) {
    const world = worldOfOne()
    await cutOff(world, 3)
    const before = world.disk.manifests.length
    const options: ProcessOptions = { mode: 'once', settings: small, source: { chunks: 6 } }
    await world.process({ ...options, refresh: 'all', diesAt, atStep: lost() })
    const kinds = entriesOf(world).map(({ kind }) => kind)
    if (kinds.includes('snapshot_finished')) break
    // First it takes the volume over.
    const isReplaced = world.disk.manifests.length > before + 1
    const isBegun = kinds.filter((kind) => kind === 'snapshot_started').length > 1
    if (!isReplaced || isBegun) continue
    killedBetween++
    // Nobody asks for a refresh any more, and the log goes on from the new place.
    const { source } = await world.process(options)
    expect([source.resumed, source.copies]).toEqual([[], ['1']])
    world.assertExact()
  }
  expect(killedBetween).toBeGreaterThan(0)
})

test('trap: a transaction that comes while the new snapshot is taken is in neither, so it is taken again', async () => {
  const delivered = new DeliveredTransactions()
  const described = fakeTable('1')
  const table = new FollowedTable(described)
  const begun = { schemaVersion: 0, points: ['first'], nextNumber: 2 }
  const ledger = new CopyLedger(begun, [{ range: 'a', point: 0 }])
  table.beginCopy(described, 0, { points: CopyPoints.of([]), ledger })
  let published = 0
  const isClosed: boolean[] = []
  const snapshot = {
    point: 'second',
    chunks: [],
    readChunk: async () => undefined,
    close: async () => void isClosed.push(true),
  }
  const time = new FakeTime()
  const resuming = resumeCopy(table, ledger, {
    source: {
      parseSnapshotPoint: () => ({ covers: () => false, isPassedBy: () => false }),
      resumeSnapshot: async () => {
        delivered.add({ tag: 7, commitTimeUs: 0n })
        return { kind: 'resumed', snapshot }
      },
    } as unknown as Source,
    progress: { publish: async () => void published++ } as unknown as Progress,
    staging: openMemoryStaging({ disk: new StagingDisk() }),
    gate: new StreamGate(),
    delivered,
    clock: time,
    log: silentLog,
    describe: async () => described,
    signal: new AbortController().signal,
  })
  await expect(resuming).rejects.toMatchObject({ code: 'GATEWAY_COPY_OVERTAKEN' })
  expect([published, isClosed, ledger.resumption]).toEqual([0, [true], 0])
})

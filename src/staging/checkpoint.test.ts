/** Going on from a checkpoint is the same as having read everything before it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { randomLogs } from '../../test/support/random-log.ts'
import {
  collectingReader,
  draftOf,
  openTestLog,
  stageChanges,
  tell,
} from '../../test/support/staging-fixtures.ts'
import { noFailpoints } from '../base/failpoint.ts'
import { silentLog } from '../observe/log.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint-codec.ts'
import { type Checkpoint, CheckpointFold, readCheckpoint } from './checkpoint.ts'
import { checkpointPath, manifestPath } from './layout.ts'
import { emptyLogBase } from './log-base.ts'
import { encodeManifest } from './manifest-codec.ts'
import type { Manifest } from './manifest.ts'
import { NewestWork } from './newest-work.ts'
import { type LogSink, readLogBase, tellLog } from './read-log.ts'
import { RecoveredLog } from './recovered-log.ts'
import { purge } from './retention.ts'
import { salvageLog } from './salvage-log.ts'
import { decodeSealedJson, encodeSealedJson, sealOf } from './sealed-json.ts'

/** Through its bytes, as the next process has it. */
function checkpointAfter(fold: CheckpointFold, newest: Manifest, seal = 7): Checkpoint {
  const checkpoint = decodeCheckpoint(encodeCheckpoint(fold.checkpoint(newest, seal)))
  if (checkpoint === undefined) throw new Error('can not be read back')
  return checkpoint
}

const contentOf = (log: RecoveredLog): unknown => ({
  place: log.place,
  lastSequence: log.lastSequence,
  newest: log.newest,
  newestCommitTimeUs: log.newestCommitTimeUs,
  tables: log.tables(),
})

describe('what a gateway and a person are told', () => {
  test('is that of the whole log, after one checkpoint and after several', () => {
    fc.assert(
      fc.property(randomLogs, fc.array(fc.nat({ max: 30 }), { maxLength: 3 }), (log, stops) => {
        const recovered = tell(new RecoveredLog(), emptyLogBase, log)
        const work = tell(new NewestWork(), emptyLogBase, log)
        let fold = new CheckpointFold()
        fold.begin(emptyLogBase)
        const rested = new NewestWork()
        rested.begin()
        for (const manifest of log) {
          fold.take(manifest)
          rested.take(manifest)
          if (!stops.includes(manifest.commit)) continue
          const checkpoint = checkpointAfter(fold, manifest)
          fold = new CheckpointFold()
          fold.resume(checkpoint, emptyLogBase)
          rested.restore(checkpoint.work, checkpoint.commit)
        }
        expect(contentOf(fold.recovered)).toEqual(contentOf(recovered))
        // And it goes on to be so.
        const last = log.at(-1) as Manifest
        expect(checkpointAfter(fold, last).recovered).toEqual(recovered.state())
        expect(rested.newest).toBe(work.newest)
        for (const id of ['1', '2']) expect(rested.of(id)).toEqual(work.of(id))
      }),
      { numRuns: 1000 },
    )
  })
})

/** A volume with these manifests, and the checkpoint of all up to and including `upTo`. */
async function volumeOf(manifests: readonly Manifest[], upTo: number): Promise<ObjectStorage> {
  const storage = createMemoryStorage()
  const fold = new CheckpointFold()
  fold.begin(emptyLogBase)
  for (const manifest of manifests) {
    const bytes = encodeManifest(manifest)
    await storage.write(manifestPath(manifest.commit), bytes)
    if (manifest.commit > upTo) continue
    fold.take(manifest)
    if (manifest.commit < upTo) continue
    const checkpoint = fold.checkpoint(manifest, sealOf(bytes) ?? -1)
    await storage.write(checkpointPath, encodeCheckpoint(checkpoint))
  }
  return storage
}

interface Told {
  readonly log: RecoveredLog
  /** Commits that were read. */
  readonly commits: readonly number[]
  readonly last: number | undefined
}

/** What a reader is told that goes on from checkpoints. */
async function toldOf(storage: ObjectStorage): Promise<Told> {
  const log = new RecoveredLog()
  let commits: number[] = []
  const sink: LogSink = {
    begin(base) {
      commits = []
      log.begin(base)
    },
    resume(checkpoint) {
      commits = []
      log.restore(checkpoint.recovered, checkpoint.commit)
    },
    take(manifest) {
      commits.push(manifest.commit)
      log.take(manifest)
    },
  }
  const { last } = await tellLog(storage, sink)
  return { log, commits, last: last?.commit }
}

const ten = fc.sample(
  randomLogs.filter((log) => log.length > 10),
  { numRuns: 1, seed: 1 },
)[0] as Manifest[]
const numbers = (from: number, end = ten.length): number[] =>
  ten.slice(from, end).map(({ commit }) => commit)

describe('tellLog()', () => {
  test('tells a random log from a random checkpoint on, as the whole one', async () => {
    await fc.assert(
      fc.asyncProperty(randomLogs, fc.nat({ max: 29 }), async (log, at) => {
        const upTo = Math.min(at, log.length - 1)
        const told = await toldOf(await volumeOf(log, upTo))
        expect(told.commits).toEqual(log.slice(upTo + 1).map(({ commit }) => commit))
        expect(told.last).toBe(log.length - 1)
        expect(contentOf(told.log)).toEqual(contentOf(tell(new RecoveredLog(), emptyLogBase, log)))
      }),
      { numRuns: 200 },
    )
  })

  test('goes on from the newest manifest, with its incarnation', async () => {
    const { commits, last, log } = await toldOf(await volumeOf(ten, ten.length - 1))
    expect({ commits, last }).toEqual({ commits: [], last: ten.length - 1 })
    expect(contentOf(log)).toEqual(contentOf(tell(new RecoveredLog(), emptyLogBase, ten)))
  })

  test('tells a sink that does not ask for it, and a purge, everything', async () => {
    const storage = await volumeOf(ten, 5)
    expect((await collectingReader(storage).refresh()).map(({ commit }) => commit)).toEqual(
      numbers(0),
    )
  })

  test('finds a hole after the checkpoint', async () => {
    for (let hole = 6; hole < ten.length - 1; hole++) {
      const storage = await volumeOf(ten, 5)
      await storage.delete(manifestPath(hole))
      await expect(toldOf(storage), `${hole}`).rejects.toThrow(manifestPath(hole))
    }
  })
})

describe('a checkpoint that does not fit is passed over', () => {
  const unfit: Record<string, (storage: ObjectStorage, bytes: Buffer) => Promise<void>> = {
    'that is missing': (storage) => storage.delete(checkpointPath),
    'of no bytes': (storage) => storage.write(checkpointPath, new Uint8Array()),
    'that is torn': (storage, bytes) =>
      storage.write(checkpointPath, bytes.subarray(0, bytes.length >> 1)),
    'with another byte': (storage, bytes) => {
      bytes[40] = (bytes[40] ?? 0) ^ 1
      return storage.write(checkpointPath, bytes)
    },
    'of another version': (storage, bytes) => rewrite(storage, bytes, { format: 2 }),
    'that says more than we know': (storage, bytes) => rewrite(storage, bytes, { more: 1 }),
    'that says less': (storage, bytes) => rewrite(storage, bytes, { work: undefined }),
    'with a number that is none': (storage, bytes) => rewrite(storage, bytes, { commit: -3 }),
    'of another log': async (storage) => {
      const other = ten.map((manifest) => ({ ...manifest, writer: 'another' }))
      const bytes = await (await volumeOf(other, 5)).read(checkpointPath)
      await storage.write(checkpointPath, bytes ?? new Uint8Array())
    },
    'ahead of a log that was put back': async (storage, bytes) =>
      rewrite(storage, bytes, { commit: ten.length }),
  }

  test.each(Object.entries(unfit))('%s', async (_, spoil) => {
    const storage = await volumeOf(ten, 5)
    await spoil(storage, Buffer.from((await storage.read(checkpointPath)) ?? []))
    expect((await toldOf(storage)).commits).toEqual(numbers(0))
  })

  test('cut off or changed anywhere', async () => {
    const storage = await volumeOf(ten, 5)
    const whole = Buffer.from((await storage.read(checkpointPath)) ?? [])
    for (let at = 0; at < whole.length; at++) {
      expect(decodeCheckpoint(whole.subarray(0, at))).toBeUndefined()
      const changed = Buffer.from(whole)
      changed[at] = (changed[at] ?? 0) ^ 4
      expect(decodeCheckpoint(changed)).toBeUndefined()
    }
    expect(decodeCheckpoint(whole)).toBeDefined()
  })

  test('that can not be read', async () => {
    const inner = await volumeOf(ten, 5)
    const read = (path: string): Promise<Uint8Array | undefined> =>
      path === checkpointPath ? Promise.reject(new Error('no')) : inner.read(path)
    expect((await toldOf({ ...inner, read })).commits).toEqual(numbers(0))
  })

  test('whose log was begun afresh after it', async () => {
    const storage = await volumeOf(ten, ten.length - 1)
    const applied = [{ tableId: '1', commit: ten.length, snapshotId: 0 }]
    await salvageLog({ storage, writer: 'w', nowMs: 0, failpoints: noFailpoints, applied })
    const base = await readLogBase(storage)
    expect(base.first).toBeGreaterThan(ten.length - 1)
    expect(await readCheckpoint(storage, base)).toBeUndefined()
    const { commits, log } = await toldOf(storage)
    expect(commits).toEqual([base.first])
    expect(log.tables().get('1')).toMatchObject({ hasGap: true })
  })

  test('that a purge went past', async () => {
    const storage = await volumeOf(ten, 5)
    expect(await readCheckpoint(storage, { first: 5, tables: [] })).toBeDefined()
    expect(await readCheckpoint(storage, { first: 6, tables: [] })).toBeUndefined()
  })
})

async function rewrite(storage: ObjectStorage, bytes: Buffer, change: object): Promise<void> {
  const sealed = decodeSealedJson(bytes)
  if (sealed.kind === 'damaged') throw new Error(sealed.reason)
  await storage.write(checkpointPath, encodeSealedJson({ ...(sealed.value as object), ...change }))
}

test('a gateway goes on from the checkpoint of the one before', async () => {
  const storage = createMemoryStorage()
  const first = await openTestLog(storage, { checkpointCommits: 3 })
  for (let n = 0; n < 7; n++) await first.publish(draftOf([], `${n}`))
  await first.close()
  const checkpoint = await readCheckpoint(storage, emptyLogBase)
  expect(checkpoint?.last).toEqual(first.manifests[5])
  const second = await openTestLog(storage, { checkpointCommits: 3 })
  expect(second.epoch).toBe(2)
  expect(second.manifests[8]).toMatchObject({ position_before: '6', incarnation: 'i' })
  expect(second.recovered.place).toEqual({ incarnation: 'i', position: '6' })
})

test('a purge that ends before it leaves it as it is, one that goes past makes the log be read', async () => {
  const storage = createMemoryStorage()
  const day = 24 * 60 * 60 * 1000
  let now = 0
  const clock = { nowMs: () => now }
  const purging = { storage, clock, log: silentLog, failpoints: noFailpoints }
  const old = await openTestLog(storage, { clock, checkpointCommits: 10 })
  for (let n = 1; n < 36; n++) {
    now = n * day
    const draft = draftOf([await stageChanges(old, '7', n)], `${n}`)
    await old.publish({ ...draft, first_sequence: `${n}`, last_sequence: `${n}` })
  }
  await old.close()
  const purged = await purge({ ...purging, appliedCommits: new Map() })
  expect(purged.firstCommit).toBe(5)
  expect((await toldOf(storage)).commits).toEqual([30, 31, 32, 33, 34, 35])
  const next = await openTestLog(storage, { clock })
  expect(next.recovered.state()).toEqual(old.recovered.state())
  now += 33 * day
  expect((await purge({ ...purging, appliedCommits: new Map() })).firstCommit).toBe(36)
  const { commits, log } = await toldOf(storage)
  expect(commits).toEqual([36])
  expect(log.lastSequence).toBe(35n)
})

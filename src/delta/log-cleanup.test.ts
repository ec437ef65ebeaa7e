/** Cleaning up the log: what goes, what stays, and when nothing may go. */
import { expect, test } from 'vitest'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { DeltaSnapshot } from './delta-table.ts'
import { checkpointPath, commitPath, deltaVersion } from './log-path.ts'
import { openDeltaTable } from './open-delta-table.ts'
import { standardTable } from './standard-table.ts'

const dayMs = 86_400_000

interface Written {
  readonly storage: ObjectStorage
  readonly names: () => Promise<string[]>
}

/** Version n of the table is written on day n. */
async function writeDays(
  days: number,
  options: {
    readonly configuration?: Record<string, string>
    readonly before?: (day: number, storage: ObjectStorage) => Promise<void>
  } = {},
): Promise<Written> {
  let nowMs = 0
  const storage = createMemoryStorage(() => nowMs)
  const table = openDeltaTable({
    storage,
    root: 't',
    clock: { nowMs: () => nowMs },
    onCheckpointFailed: (error) => {
      throw error
    },
  })
  const configuration = { 'delta.checkpointInterval': '5', ...options.configuration }
  const { protocol, metadata } = standardTable({ columns: [], configuration, createdAtMs: 0 })
  let outcome = await table.commit(undefined, [{ protocol }, { metaData: metadata }])
  for (let day = 1; day <= days; day++) {
    nowMs = day * dayMs
    await options.before?.(day, storage)
    const file = {
      path: `f${day}`,
      partitionValues: {},
      size: 1,
      modificationTime: 0,
      dataChange: true,
    }
    outcome = await table.commit(outcome.snapshot, [{ add: file }])
    expect(outcome.kind).toBe('committed')
  }
  const names = async (): Promise<string[]> => {
    const found: string[] = []
    for await (const { path } of storage.list('t/_delta_log/0')) found.push(path)
    return found
  }
  return { storage, names }
}

const range = (from: number, to: number): bigint[] =>
  Array.from({ length: to - from + 1 }, (_, n) => BigInt(from + n))

test('the newest checkpoint before the cutoff stays with its commit; what is older goes', async () => {
  const { storage, names } = await writeDays(50)
  // On day 50 versions up to 19 are older than 30 days; 15 is the checkpoint to start them from.
  const kept = [
    ...range(15, 50).map((version) => commitPath('t', version)),
    ...[15n, 20n, 25n, 30n, 35n, 40n, 45n, 50n].map((version) => checkpointPath('t', version)),
  ]
  expect(await names()).toEqual(kept.toSorted())
  const table = openDeltaTable({ storage, root: 't' })
  expect((await table.snapshot())?.files.size).toBe(50)
  expect((await table.snapshot(deltaVersion(17)))?.files.size).toBe(17)
  await expect(table.snapshot(deltaVersion(14))).rejects.toMatchObject({
    code: 'DELTA_VERSION_MISSING',
  })
})

test('a commit on a base whose successors were cleaned away is a conflict', async () => {
  let stale: DeltaSnapshot | undefined
  const { storage, names } = await writeDays(50, {
    before: async (day, at) => {
      if (day === 4) stale = await openDeltaTable({ storage: at, root: 't' }).snapshot()
    },
  })
  expect(stale?.version).toBe(3n)
  const before = await names()
  const table = openDeltaTable({ storage, root: 't' })
  for (const base of [stale, undefined]) {
    const outcome = await table.commit(base, [{ txn: { appId: 'p', version: 1 } }])
    expect(outcome).toMatchObject({ kind: 'conflict', snapshot: { version: 50n } })
  }
  expect(await names()).toEqual(before)
})

test('the retention is a property, and cleaning up can be switched off', async () => {
  const short = await writeDays(20, {
    configuration: { 'delta.logRetentionDuration': 'interval 1 week' },
  })
  expect((await short.names())[0]).toBe(checkpointPath('t', 10n))
  const off = await writeDays(50, { configuration: { 'delta.enableExpiredLogCleanup': 'false' } })
  expect((await off.names())[0]).toBe(commitPath('t', 0n))
})

test('nothing goes while the checkpoint to rely on is torn or missing', async () => {
  const damage = async (day: number, storage: ObjectStorage): Promise<void> => {
    for (let version = 5n; version < BigInt(day); version += 5n) {
      const path = checkpointPath('t', version)
      const bytes = await storage.read(path)
      if (bytes !== undefined && version % 2n === 1n) await storage.delete(path)
      else if (bytes !== undefined) await storage.write(path, bytes.subarray(0, 40))
    }
  }
  const { storage, names } = await writeDays(54, { before: damage })
  expect((await names())[0]).toBe(commitPath('t', 0n))
  expect((await openDeltaTable({ storage, root: 't' }).snapshot())?.files.size).toBe(54)
})

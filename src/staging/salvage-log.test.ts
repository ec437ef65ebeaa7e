import { expect, test } from 'vitest'
import { noFailpoints } from '../base/failpoint.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import { draftOf, openTestLog, stageChanges } from '../../test/support/staging-fixtures.ts'
import { manifestPath, logBasePath } from './layout.ts'
import { readLog } from '../../test/support/read-log.ts'
import { salvageLog } from './salvage-log.ts'

const salvage = { writer: 'salvage', nowMs: 1, failpoints: noFailpoints }

async function volume() {
  const storage = createMemoryStorage()
  const log = await openTestLog(storage)
  for (const table of ['7', '8', '7']) {
    await log.publish(draftOf([await stageChanges(log, table, 1)]))
  }
  return storage
}

test('a whole log is left as it is', async () => {
  const storage = await volume()
  expect(await salvageLog({ storage, ...salvage })).toBeUndefined()
  expect((await readLog(storage)).manifests).toHaveLength(4)
})

test('a long log begins afresh like a short one', async () => {
  const storage = createMemoryStorage()
  const commits = 150_000
  for (let n = 0; n < commits; n++) await storage.write(manifestPath(n), Buffer.from('?'))
  expect(await salvageLog({ storage, ...salvage })).toBe(commits)
})

const damages: Record<string, (storage: Awaited<ReturnType<typeof volume>>) => Promise<unknown>> = {
  'a damaged manifest': (storage) => storage.write(manifestPath(2), Buffer.from('{}')),
  'a missing manifest': (storage) => storage.delete(manifestPath(1)),
  'a damaged base': (storage) => storage.write(logBasePath, Buffer.from('?')),
}

for (const [name, damage] of Object.entries(damages)) {
  test(`${name}: the log begins afresh, each table with a gap and a newer copy number`, async () => {
    const storage = await volume()
    await damage(storage)
    await expect(openTestLog(storage)).rejects.toThrow()
    expect(await salvageLog({ storage, ...salvage })).toBe(4)
    const { base, manifests } = await readLog(storage)
    expect(manifests.map(({ commit, epoch }) => [commit, epoch])).toEqual([[4, 5]])
    expect(base.tables.map(({ table_id, last_commit }) => [table_id, last_commit])).toEqual([
      ['7', 3],
      ['8', 3],
    ])
    for (const { entries } of base.tables) {
      expect(entries.map(({ kind }) => kind)).toEqual(['snapshot_started', 'gap'])
      expect(entries[0]).toMatchObject({ snapshot_id: 4 })
    }
    // Once is enough, and a gateway goes on from there.
    expect(await salvageLog({ storage, ...salvage })).toBeUndefined()
    expect((await openTestLog(storage)).epoch).toBe(6)
  })
}

const applied = (tableId: string, commit: number, snapshotId: number) => [
  { tableId, commit, snapshotId },
]

test('a log that somebody has applied more of begins afresh after that', async () => {
  const storage = await volume()
  expect(await salvageLog({ storage, ...salvage, applied: applied('7', 3, -1) })).toBeUndefined()
  expect(await salvageLog({ storage, ...salvage, applied: applied('7', 40, 2) })).toBe(41)
  const { base, manifests } = await readLog(storage)
  expect(manifests.map(({ commit }) => commit)).toEqual([41])
  expect(base.tables[0]?.entries[0]).toMatchObject({ snapshot_id: 41 })
  expect(await salvageLog({ storage, ...salvage, applied: applied('7', 40, 2) })).toBeUndefined()
  const empty = createMemoryStorage()
  expect(await salvageLog({ storage: empty, ...salvage, applied: applied('7', 5, 9) })).toBe(10)
  // Of a volume that was lost whole: its next copy is not to be taken for the one applied.
  const afresh = (await readLog(empty)).base.tables
  expect(afresh.map(({ table_id, entries }) => [table_id, entries[0]])).toMatchObject([
    ['7', { kind: 'snapshot_started', snapshot_id: 10 }],
  ])
})

test('a log whose newest copy of a table is older than the one applied begins afresh', async () => {
  const storage = await volume()
  expect(await salvageLog({ storage, ...salvage, applied: applied('7', 2, 6) })).toBe(7)
})

/** A purge of more manifests than are looked at together. */
import { expect, test } from 'vitest'
import { draftOf, openTestLog, pathsOf, stageChanges } from '../../test/support/staging-fixtures.ts'
import { noFailpoints } from '../base/failpoint.ts'
import { silentLog } from '../observe/log.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import { manifestPath } from './layout.ts'
import { filesOf } from './orphans.ts'
import { readLog } from '../../test/support/read-log.ts'
import { purge, type PurgeResult } from './retention.ts'

test('goes piece by piece, and goes on after a stop between two', async () => {
  const storage = createMemoryStorage()
  let now = 0
  const clock = { nowMs: () => now }
  const log = await openTestLog(storage, { clock })
  for (; now < 2500; now++) await log.publish(draftOf([await stageChanges(log, '7', now)]))
  let pieces = 0
  const failpoints = {
    hit(name: string) {
      if (name === 'staging.purge-data-removed' && ++pieces === 2) throw new Error('stopped')
    },
  }
  const run = (hits: typeof failpoints): Promise<PurgeResult> => {
    const how = { storage, clock, log: silentLog, failpoints: hits, retentionMs: 100 }
    return purge({ ...how, appliedCommits: new Map() })
  }
  await expect(run(failpoints)).rejects.toThrow('stopped')
  const [oldest] = await pathsOf(storage, '_log/')
  expect(oldest).toBe(manifestPath(1024))
  const { base, manifests } = await readLog(storage)
  expect(base.first).toBe(manifests[0]?.commit)
  expect(await run(noFailpoints)).toMatchObject({ removedManifests: base.first - 1024 })
  expect((await pathsOf(storage, '_log/'))[0]).toBe(manifestPath(base.first))
  expect(await pathsOf(storage, 'tables/')).toEqual(manifests.flatMap(filesOf).map((f) => f.path))
})

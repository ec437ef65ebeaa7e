/** The incarnation, which with a thousand tables is a text of tens of kB, is written when it changes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  collectingReader,
  draftOf,
  openTestLog,
  tableId,
} from '../../test/support/staging-fixtures.ts'
import { noFailpoints } from '../base/failpoint.ts'
import { silentLog } from '../observe/log.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { manifestPath } from './layout.ts'
import { manifestFormat } from './manifest-codec.ts'
import { encodeSealedJson } from './sealed-json.ts'
import { purge } from './retention.ts'
import { readLog } from '../../test/support/read-log.ts'

const long = 'x'.repeat(100_000)

async function sizesOf(storage: ObjectStorage): Promise<number[]> {
  const sizes: number[] = []
  for (let commit = 0; ; commit++) {
    const info = await storage.stat(manifestPath(commit))
    if (info === undefined) return sizes
    sizes.push(info.sizeBytes)
  }
}

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(`a${long}`, 'b', '').map((to) => ({ publish: to })) },
  { weight: 2, arbitrary: fc.constant({ takeOver: true as const }) },
  { weight: 2, arbitrary: fc.nat({ max: 5 }).map((keep) => ({ keep })) },
)

test('trap: whatever is published, taken over and purged, every manifest that is left knows its own', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const storage = createMemoryStorage()
      let now = 0
      const clock = { nowMs: () => now }
      let log = await openTestLog(storage, { clock })
      const known = ['']
      const watching = collectingReader(storage)
      for (const what of steps) {
        now++
        if ('publish' in what) {
          await log.publish({ ...draftOf([]), incarnation: what.publish })
          known.push(what.publish)
        } else if ('takeOver' in what) {
          log = await openTestLog(storage, { clock })
          known.push(known.at(-1) ?? '')
        } else {
          const how = { storage, clock, appliedCommits: new Map(), retentionMs: what.keep }
          await purge({ ...how, log: silentLog, failpoints: noFailpoints })
        }
        for (const reader of [watching, collectingReader(storage)]) {
          const manifests = await reader.refresh()
          const first = reader.firstCommit()
          expect(manifests.map(({ incarnation }) => incarnation)).toEqual(known.slice(first))
        }
        expect(log.manifests.at(-1)?.incarnation).toBe(known.at(-1))
      }
    }),
    { numRuns: 60 },
  )
})

test('a manifest is no larger for it as long as it does not change', async () => {
  const storage = createMemoryStorage()
  const log = await openTestLog(storage)
  const gap = { kind: 'gap', table_id: tableId('1'), reason: 'why' } as const
  for (const incarnation of ['', long, long, long]) {
    await log.publish({ ...draftOf([gap]), incarnation })
  }
  await openTestLog(storage)
  const sizes = await sizesOf(storage)
  expect(sizes.map((size) => size > 1000)).toEqual([false, false, true, false, false, false])
})

test('volumes of earlier versions, which wrote it always, are read and gone on with', async () => {
  const storage = createMemoryStorage()
  for (let commit = 0; commit < 3; commit++) {
    const head = { format: manifestFormat, commit, epoch: 1, writer: 'earlier', created_at_ms: 0 }
    const { position_before, position_after, entries } = draftOf([])
    const places = { position_before, position_after, entries }
    const manifest = { ...head, incarnation: long, ...places }
    await storage.write(manifestPath(commit), encodeSealedJson(manifest))
  }
  const log = await openTestLog(storage)
  await log.publish({ ...draftOf([]), incarnation: long })
  const manifests = (await readLog(storage)).manifests
  expect(manifests.map(({ incarnation }) => incarnation === long)).toEqual(Array(5).fill(true))
  expect((await sizesOf(storage)).map((size) => size > 1000)).toEqual([
    true,
    true,
    true,
    false,
    false,
  ])
})

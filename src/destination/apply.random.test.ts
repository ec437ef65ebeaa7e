/** Random histories of a table, applied in random portions, against a plain map. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import {
  openPlace,
  pipelineOver,
  rowsOf,
  sortRows,
  type Place,
} from '../../test/support/pipeline-fixtures.ts'
import { History, wishes, type Wish } from '../../test/support/staged-history.ts'
import type { Failpoints } from '../base/failpoint.ts'
import { openEngine, type Engine } from '../engine/duckdb.ts'
import { checkpointPath } from '../staging/layout.ts'
import { createFaultyStorage } from '../storage/faulty-storage.ts'

let engine: Engine
let folder = ''
let places = 0
beforeAll(async () => {
  engine = await openEngine({ threads: 2, memoryLimitBytes: 2 ** 28 })
  folder = await mkdtemp(join(tmpdir(), 'sluice-random-'))
})
afterAll(async () => {
  await engine.close()
  await rm(folder, { recursive: true, force: true })
})

const signal = new AbortController().signal
const root = 'main/shop/t'

async function play(
  list: readonly Wish[],
  apply: (place: Place) => Promise<void>,
  checkpointCommits = 1000,
): Promise<void> {
  const place = await openPlace(join(folder, String(places++)), { checkpointCommits })
  const history = new History(place)
  await history.begin()
  for (const wish of [...list, { kind: 'apply' as const }]) {
    await history.take(wish)
    if (wish.kind === 'commit' || wish.kind === 'apply') await history.publish()
    if (wish.kind !== 'apply') continue
    await apply(place)
    expect(await rowsOf(place.lake, root, engine)).toEqual(sortRows(history.rows.values()))
  }
}

test('every portion of any history gives the rows of the source', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (list) =>
      play(list, async (place) => {
        expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
      }),
    ),
    { numRuns: 6 },
  )
})

test('so does every portion that begins with a checkpoint of the log', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, fc.integer({ min: 1, max: 2 }), (list, checkpointCommits) =>
      play(
        list,
        async (place) => {
          // Written beside the publishing.
          await vi.waitFor(async () => {
            expect(await place.staging.stat(checkpointPath)).toBeDefined()
          })
          expect((await pipelineOver(place, engine).update({ signal })).failedTables).toEqual([])
        },
        checkpointCommits,
      ),
    ),
    { numRuns: 6 },
  )
})

test('a stop or a storage fault at any step, then again: nothing lost, nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      wishes,
      fc.nat(7),
      fc.constantFrom('fail', 'torn', 'lost-response'),
      (list, step, fault) =>
        play(list, async (place) => {
          let hits = 0
          const failpoints: Failpoints = {
            hit(name) {
              if (!name.startsWith('destination.') || hits++ !== step) return
              throw new Error(`stopped at ${name}`)
            },
          }
          await pipelineOver(place, engine, { failpoints }).update({ signal })
          const faulty = createFaultyStorage(place.lake, ({ count }) =>
            count === step + 1 ? fault : undefined,
          )
          const crippled = pipelineOver({ ...place, lake: faulty }, engine)
          await crippled.update({ signal })
          const again = await crippled.update({ signal })
          expect(again.failedTables).toEqual([])
          expect((await pipelineOver(place, engine).update({ signal })).committedTables).toBe(0)
        }),
    ),
    { numRuns: 4 },
  )
})

test('pipelines that race for one table lose nothing and apply nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(wishes, (list) =>
      play(list, async (place) => {
        const racers = [1, 2, 3].map(() => pipelineOver(place, engine).update({ signal }))
        for (const result of await Promise.all(racers)) expect(result.failedTables).toEqual([])
      }),
    ),
    { numRuns: 6 },
  )
})

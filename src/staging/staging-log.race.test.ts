/** Several gateways on one volume over a storage that fails and loses answers at random. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { draftOf, openTestLog, type TestLog } from '../../test/support/staging-fixtures.ts'
import { SluiceError } from '../base/errors.ts'
import { createFaultyStorage, type Fault } from '../storage/faulty-storage.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { readLog } from '../../test/support/read-log.ts'
import type { StagingLog } from './staging-log.ts'

const allowed = ['STAGING_FENCED', 'STORAGE_FAILED', 'STORAGE_FULL']

function codeOf(error: unknown): string {
  if (error instanceof SluiceError && allowed.includes(error.code)) return error.code
  throw error
}

/** Tries one publish of `position`; a failed one is tried again with the same content, as a gateway does. */
async function publish(log: StagingLog, position: string): Promise<'done' | 'fenced' | 'failed'> {
  for (let n = 0; n < 3; n++) {
    try {
      await log.publish(draftOf([], position))
      return 'done'
    } catch (error) {
      if (codeOf(error) === 'STAGING_FENCED') return 'fenced'
    }
  }
  return 'failed'
}

test('what was acknowledged is there once, the log is dense, and the last to come stays', async () => {
  const fault = fc.constantFrom<(Fault | undefined)[]>(
    'fail',
    'full',
    'lost-response',
    ...Array.from({ length: 4 }, () => undefined),
  )
  const step = fc.tuple(fc.nat(2), fc.boolean())
  await fc.assert(
    fc.asyncProperty(
      fc.array(fault, { minLength: 1 }),
      fc.array(step, { maxLength: 40 }),
      async (faults, steps) => {
        const inner = createMemoryStorage()
        let writes = 0
        const storage: ObjectStorage = createFaultyStorage(
          inner,
          () => faults[writes++ % faults.length],
        )
        const gateways: (TestLog | undefined)[] = []
        const done: string[] = []
        let newest = 0
        const run = async (slot: number, isRestart: boolean, name: string): Promise<void> => {
          const log = gateways[slot]
          if (log === undefined || isRestart) {
            gateways[slot] = await openTestLog(storage).catch(
              (error: unknown) => void codeOf(error),
            )
            newest = Math.max(newest, gateways[slot]?.epoch ?? 0)
            return
          }
          const outcome = await publish(log, name)
          if (outcome === 'done') done.push(name)
          if (outcome !== 'done') gateways[slot] = undefined
        }
        // Pairs of steps run at the same time.
        for (let at = 0; at < steps.length; at += 2) {
          const pair = steps.slice(at, at + 2)
          const [one, two] = pair
          const isSame = one?.[0] === two?.[0]
          const running = pair.map(
            ([slot, isRestart], n) =>
              () =>
                run(slot, isRestart, `${at + n}`),
          )
          if (isSame) for (const each of running) await each()
          else await Promise.all(running.map((each) => each()))
        }
        const manifests = (await readLog(inner)).manifests
        expect(manifests.map(({ commit }) => commit)).toEqual(manifests.map((_, n) => n))
        const epochs = manifests.map(({ epoch }) => epoch)
        expect(epochs).toEqual(epochs.toSorted((a, b) => a - b))
        // Of a take-over, which repeats the position, or of the publish itself.
        const published = manifests.filter(
          ({ epoch, position_after }, n) =>
            n > 0 && epochs[n - 1] === epoch && position_after !== '',
        )
        const positions = published.map(({ position_after }) => position_after)
        expect(new Set(positions).size).toBe(positions.length)
        for (const position of done) expect(positions).toContain(position)
        const last = gateways.find((log) => log !== undefined && log.epoch === epochs.at(-1))
        if (last !== undefined && last.epoch === newest) expect(last.manifests).toEqual(manifests)
      },
    ),
    { numRuns: 300 },
  )
})

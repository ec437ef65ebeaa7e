/** A process that ends at any step leaves a volume from which the next one goes on. */
import { expect, test } from 'vitest'
import {
  draftOf,
  openTestLog,
  pathsOf,
  stageChanges,
  stopAfter,
  tableId,
} from '../../test/support/staging-fixtures.ts'
import { failpointNames } from '../base/failpoint.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { CheckpointFold } from './checkpoint.ts'
import { parseDataFilePath } from './layout.ts'
import type { ManifestEntry } from './manifest.ts'
import { filesOf } from './orphans.ts'
import { readLog } from '../../test/support/read-log.ts'
import { tellLog } from './read-log.ts'
import { RecoveredLog } from './recovered-log.ts'
import type { StagingLogOptions } from './staging-log.ts'
import { verifyStagedFile } from './verify-staged-file.ts'

const schema = {
  columns: [{ name: 'id', type: { kind: 'int64' }, sourceType: 'bigint', nullable: false }],
  key: ['id'],
} as const

const target = 4

/**
 * Stages transactions until number `target - 1`, going on after the last one in the log, as a
 * gateway does with its source. `acknowledged` gets those whose publish resolved.
 */
async function work(
  storage: ObjectStorage,
  acknowledged: Set<string>,
  options: Partial<StagingLogOptions> = {},
): Promise<void> {
  const log = await openTestLog(storage, options)
  await log.writeSchema(tableId('7'), 0, schema)
  const done = Number(log.manifests.at(-1)?.position_after)
  for (let n = done; n < target; n++) {
    const entries = [await stageChanges(log, '7', n), await stageChanges(log, '8', n)]
    await log.publish({
      ...draftOf(entries),
      position_before: String(n),
      position_after: String(n + 1),
      first_sequence: String(n),
      last_sequence: String(n),
    })
    acknowledged.add(String(n))
  }
}

async function expectExact(storage: ObjectStorage): Promise<void> {
  const manifests = (await readLog(storage)).manifests
  const sequences = manifests.flatMap(({ first_sequence }) => first_sequence ?? [])
  expect(sequences).toEqual(Array.from({ length: target }, (_, n) => String(n)))
  const files = manifests.flatMap(filesOf)
  for (const file of files) await verifyStagedFile(storage, file)
  const present = (await pathsOf(storage)).filter((path) => parseDataFilePath(path) !== undefined)
  expect(present.toSorted()).toEqual(files.map(({ path }) => path).toSorted())
}

async function expectNothingLost(storage: ObjectStorage, acknowledged: Set<string>): Promise<void> {
  const manifests = (await readLog(storage)).manifests
  const staged = new Set(manifests.map(({ last_sequence }) => last_sequence))
  for (const sequence of acknowledged) expect(staged).toContain(sequence)
  for (const file of manifests.flatMap(filesOf)) await verifyStagedFile(storage, file)
}

/** Where both tables are on record, as before anything of them is staged. */
async function volumeOfTwo(): Promise<ObjectStorage> {
  const storage = createMemoryStorage()
  const log = await openTestLog(storage)
  const entries = ['7', '8'].map((id): ManifestEntry => {
    const named = { source_schema: 'public', source_table: `t${id}`, schema_version: 0 }
    return { kind: 'table', table_id: id, ...named }
  })
  await log.publish(draftOf(entries, '0'))
  return storage
}

/** Who reads after a checkpoint knows what one does who reads everything. */
async function expectSameFromCheckpoint(storage: ObjectStorage): Promise<void> {
  const [fold, whole] = [new CheckpointFold(), new RecoveredLog()]
  await tellLog(storage, fold)
  await tellLog(storage, { begin: (base) => whole.begin(base), take: (one) => whole.take(one) })
  expect(fold.recovered.state()).toEqual(whole.state())
}

test.each([
  { how: 'no checkpoints', options: {} },
  { how: 'a checkpoint after every commit', options: { checkpointCommits: 1 } },
  { how: 'a checkpoint after every third commit', options: { checkpointCommits: 3 } },
])(
  'a stop after every write and removal loses and duplicates nothing, with $how',
  async ({ options }: { readonly options: { readonly checkpointCommits?: number } }) => {
    const whole = stopAfter(await volumeOfTwo(), Infinity)
    await work(whole, new Set(), options)
    expect(whole.steps).toBeGreaterThan(target * 3)
    for (let limit = 0; limit < whole.steps; limit++) {
      const storage = await volumeOfTwo()
      const acknowledged = new Set<string>()
      const first = work(stopAfter(storage, limit), acknowledged, options)
      // A checkpoint that fails, fails nothing.
      const isDone = options.checkpointCommits !== undefined && limit === whole.steps - 1
      if (isDone) await first.catch(() => undefined)
      else await expect(first).rejects.toThrow('stopped')
      await expectNothingLost(storage, acknowledged)
      await expectSameFromCheckpoint(storage)
      // The second process is stopped too: also the clean-up after a stop has to bear it.
      await work(stopAfter(storage, 2), acknowledged, options).catch(() => undefined)
      await expectNothingLost(storage, acknowledged)
      await expectSameFromCheckpoint(storage)
      await work(storage, acknowledged, options)
      await expectExact(storage)
      await expectSameFromCheckpoint(storage)
    }
  },
)

const otherwhere = ['staging.purge-data-removed', 'staging.salvage-claimed']
const own = failpointNames.filter(
  (name) => name.startsWith('staging.') && !otherwhere.includes(name),
)
test.each(own)(
  'a stop at %s loses and duplicates nothing, whichever time it is reached',
  async (name) => {
    let reached = 0
    for (let stopAt = 1; stopAt <= target; stopAt++) {
      const storage = createMemoryStorage()
      const acknowledged = new Set<string>()
      let left = stopAt
      const failpoints = {
        hit(hit: string) {
          if (hit === name && --left === 0) throw new Error('stopped')
        },
      }
      const ended = await work(storage, acknowledged, { failpoints }).catch(() => 'stopped')
      if (ended === 'stopped') reached++
      await expectNothingLost(storage, acknowledged)
      await work(storage, acknowledged)
      await expectExact(storage)
    }
    expect(reached).toBe(name === 'staging.epoch-claimed' ? 1 : target)
  },
)

/** Who begins with a checkpoint removes no file that anything names, and what it can tell. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { baseAt, logTables, randomLogs } from '../../test/support/random-log.ts'
import { pathsOf, tell } from '../../test/support/staging-fixtures.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { AgedNames, removeAgedOrphans } from './aged-orphans.ts'
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint-codec.ts'
import { CheckpointFold } from './checkpoint.ts'
import { changeFilePath, parseDataFilePath, snapshotFilePath } from './layout.ts'
import { emptyLogBase } from './log-base.ts'
import type { Manifest } from './manifest.ts'
import { filesOf, NamedFiles, removeOrphans } from './orphans.ts'

/** Files as gateways that ended before they could publish leave them. */
const strays = fc.array(
  fc.oneof(
    fc
      .record({
        tableId: fc.constantFrom(...logTables),
        firstSequence: fc.bigInt(0n, 32n),
        epoch: fc.integer({ min: 1, max: 6 }),
        number: fc.nat({ max: 40 }),
      })
      .map(changeFilePath),
    fc
      .record({
        tableId: fc.constantFrom(...logTables),
        snapshotId: fc.nat({ max: 5 }),
        chunk: fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 50, max: 52 })),
        epoch: fc.integer({ min: 1, max: 6 }),
      })
      .map(snapshotFilePath),
  ),
  { maxLength: 20 },
)

const namesOf = (manifests: readonly Manifest[]): Set<string> =>
  new Set(manifests.flatMap(filesOf).map(({ path }) => path))

async function volumeOf(paths: Iterable<string>): Promise<ObjectStorage> {
  const storage = createMemoryStorage()
  for (const path of paths) await storage.write(path, new Uint8Array(1))
  return storage
}

/** As of a start from a checkpoint at `at`. */
function namedAfter(log: readonly Manifest[], at: number): NamedFiles {
  const fold = tell(new CheckpointFold(), emptyLogBase, log.slice(0, at + 1))
  const bytes = encodeCheckpoint(fold.checkpoint(log[at] as Manifest, 0))
  const named = new NamedFiles()
  const checkpoint = decodeCheckpoint(bytes)
  if (checkpoint === undefined) throw new Error('can not be read back')
  named.resume(checkpoint)
  for (const manifest of log.slice(at + 1)) named.take(manifest)
  return named
}

describe('removeOrphans()', () => {
  test('removes no named file and none of a newer gateway, wherever the checkpoint is', async () => {
    await fc.assert(
      fc.asyncProperty(randomLogs, strays, fc.nat({ max: 29 }), async (log, left, wished) => {
        const at = Math.min(wished, log.length - 1)
        const [newest, checkpointed] = [log.at(-1) as Manifest, log[at] as Manifest]
        const epoch = newest.epoch + 1
        const names = namesOf(log)
        const storage = await volumeOf([...names, ...left])
        const named = namedAfter(log, at)
        const removed = await removeOrphans({ storage, named, epoch, tableIds: logTables })
        const rest = new Set(await pathsOf(storage))
        for (const path of names) expect(rest).toContain(path)
        const gone = left.filter((path) => !rest.has(path))
        expect(removed).toBe(new Set(gone).size)
        const unfinished = unfinishedAt(log, at)
        for (const path of left) {
          const name = parseDataFilePath(path)
          if (name === undefined || names.has(path)) continue
          if (name.epoch >= epoch) expect(rest).toContain(path)
          // Everything behind the checkpoint, and copies in progress, is told for certain.
          else if (name.kind === 'changes' && name.firstSequence > BigInt(checkpointed.commit)) {
            expect(rest).not.toContain(path)
          } else if (
            name.kind === 'snapshot' &&
            unfinished.has(`${name.tableId}/${name.snapshotId}`)
          ) {
            expect(rest).not.toContain(path)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('removes all of them where the log was read whole', async () => {
    await fc.assert(
      fc.asyncProperty(randomLogs, strays, async (log, left) => {
        const names = namesOf(log)
        const storage = await volumeOf([...names, ...left])
        const named = new NamedFiles()
        named.begin()
        for (const manifest of log) named.take(manifest)
        await removeOrphans({ storage, named, epoch: 100, tableIds: [] })
        expect(new Set(await pathsOf(storage))).toEqual(names)
      }),
      { numRuns: 200 },
    )
  })
})

/** `table/copy` of those that were in progress at the checkpoint or begun after it. */
function unfinishedAt(log: readonly Manifest[], at: number): Set<string> {
  const copies = new Set<string>()
  for (const { commit, entries } of log) {
    for (const entry of entries) {
      const isBefore = commit <= at
      const ofTable = [...copies].filter((copy) => copy.startsWith(`${entry.table_id}/`))
      if (entry.kind === 'snapshot_started') {
        if (isBefore) for (const copy of ofTable) copies.delete(copy)
        copies.add(`${entry.table_id}/${entry.snapshot_id}`)
      }
      if (entry.kind === 'snapshot_finished' && isBefore) {
        copies.delete(`${entry.table_id}/${entry.snapshot_id}`)
      }
      if (entry.kind === 'gap' && isBefore) for (const copy of ofTable) copies.delete(copy)
    }
  }
  return copies
}

describe('removeAgedOrphans()', () => {
  test('removes what the purge has passed, no named file and none of the newest gateway', async () => {
    await fc.assert(
      fc.asyncProperty(randomLogs, strays, fc.nat({ max: 29 }), async (log, left, wished) => {
        const first = Math.min(wished, log.length - 1)
        const base = baseAt(log, first)
        const counting = log.slice(first)
        const names = namesOf(counting)
        const storage = await volumeOf([...names, ...left])
        await removeAgedOrphans(storage, tell(new AgedNames(), base, counting))
        const rest = new Set(await pathsOf(storage))
        for (const path of names) expect(rest).toContain(path)
        const { epoch } = log.at(-1) as Manifest
        const ids = new Set(
          [...base.tables, ...counting.flatMap((one) => one.entries)].map((of) => of.table_id),
        )
        for (const path of left) {
          const name = parseDataFilePath(path)
          if (name === undefined || names.has(path)) continue
          if (name.epoch >= epoch) expect(rest).toContain(path)
          else if (
            name.kind === 'changes' &&
            ids.has(name.tableId) &&
            base.last_sequence !== undefined
          ) {
            const isAged = name.firstSequence <= BigInt(base.last_sequence)
            expect(rest.has(path)).toBe(!isAged)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  test('leaves a file whose gateway holds the volume while it is purged', async () => {
    const path = changeFilePath({ tableId: '1', firstSequence: 1n, epoch: 2, number: 0 })
    const head = { format: 1, writer: 'w', created_at_ms: 0, incarnation: '' } as const
    const places = { position_before: '', position_after: '' }
    const base = { first: 5, last_sequence: '9', tables: [] }
    const named = { source_schema: 'public', source_table: 't', schema_version: 0 }
    const entry = { kind: 'table' as const, table_id: '1', ...named }
    const at = (epoch: number): Manifest => {
      return { ...head, ...places, commit: 5, epoch, entries: [entry] }
    }
    // Told before a newer gateway took over: nothing shows that this one is over.
    const storage = await volumeOf([path])
    expect(await removeAgedOrphans(storage, tell(new AgedNames(), base, [at(2)]))).toBe(0)
    expect(await removeAgedOrphans(storage, tell(new AgedNames(), base, [at(3)]))).toBe(1)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  draftOf,
  openTestLog,
  pathsOf,
  stageChanges,
  stopAfter,
  tableId,
  tell,
  type TestLog,
} from '../../test/support/staging-fixtures.ts'
import { noFailpoints } from '../base/failpoint.ts'
import { silentLog } from '../observe/log.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { emptyLogBase, lostToPurge } from './log-base.ts'
import type { Manifest, ManifestEntry } from './manifest.ts'
import { logBasePath, manifestPath, parseDataFilePath, snapshotFilePath } from './layout.ts'
import { filesOf } from './orphans.ts'
import { BaseFold, PurgePlan } from './purge-plan.ts'
import { defaultRetentionMs, purge, type PurgeOptions, type PurgeResult } from './retention.ts'
import type { StagingLog } from './staging-log.ts'
import { readLog } from '../../test/support/read-log.ts'
import { verifyStagedFile } from './verify-staged-file.ts'

const day = 24 * 60 * 60 * 1000

interface Volume {
  readonly storage: ObjectStorage
  readonly log: TestLog
  /** One commit a day. */
  readonly publish: (...entries: ManifestEntry[]) => Promise<Manifest>
  readonly purge: (options?: Partial<PurgeOptions>) => Promise<PurgeResult>
}

/** A gateway that publishes once a day; the clock stands at the day of the newest commit. */
async function createVolume(storage = createMemoryStorage()): Promise<Volume> {
  let days = 0
  const clock = { nowMs: () => days * day }
  const log = await openTestLog(storage, { clock })
  return {
    storage,
    log,
    publish(...entries) {
      days++
      const sequence = String(days)
      return log.publish({
        ...draftOf(entries),
        ...(entries.length > 0 ? { first_sequence: sequence, last_sequence: sequence } : {}),
      })
    },
    purge: (options = {}) =>
      purge({
        storage,
        appliedCommits: new Map(),
        clock,
        log: silentLog,
        failpoints: noFailpoints,
        ...options,
      }),
  }
}

const stoppedAtRemoval = {
  hit(name: string) {
    if (name === 'staging.purge-data-removed') throw new Error('stopped')
  },
}

const named = (table: string): ManifestEntry => ({
  kind: 'table',
  table_id: table,
  source_schema: 'public',
  source_table: `t${table}`,
  schema_version: 0,
})
const started = (table: string, id = 0): ManifestEntry => ({
  kind: 'snapshot_started',
  table_id: table,
  snapshot_id: id,
  schema_version: 0,
  point: 'x',
  chunk_count: 1,
})
const finished = (table: string, id = 0): ManifestEntry => ({
  kind: 'snapshot_finished',
  table_id: table,
  snapshot_id: id,
  rows: 3,
})

async function chunk(log: StagingLog, table: string, id = 0): Promise<ManifestEntry> {
  const path = snapshotFilePath({ tableId: table, snapshotId: id, chunk: 0, epoch: log.epoch })
  const writer = await log.openDataFile(path, [])
  const files = [await writer.close()]
  return {
    kind: 'snapshot_chunk',
    table_id: table,
    snapshot_id: id,
    schema_version: 0,
    chunk: 0,
    files,
  }
}

/** Commits 1–4 copy tables 7 and 8, then `days` commits of changes to 7. */
async function createAged(days: number, storage?: ObjectStorage): Promise<Volume> {
  const volume = await createVolume(storage)
  const { log, publish } = volume
  await log.writeSchema(tableId('7'), 0, { columns: [], key: [] })
  await publish(named('7'), started('7'))
  await publish(named('8'), started('8'), await chunk(log, '7'))
  await publish(await chunk(log, '8'), finished('7'))
  await publish(finished('8'))
  for (let n = 0; n < days; n++) await publish(await stageChanges(log, '7', 100 + n))
  return volume
}

/** Whatever counts is whole; nothing else is left but what a stopped purge has still to remove. */
async function expectWhole(storage: ObjectStorage): Promise<readonly Manifest[]> {
  const manifests = (await readLog(storage)).manifests
  for (const file of manifests.flatMap(filesOf)) await verifyStagedFile(storage, file)
  return manifests
}

describe('purge()', () => {
  test('removes nothing that is young enough', async () => {
    const { storage, purge } = await createAged(26)
    const before = await pathsOf(storage)
    expect(await purge()).toMatchObject({ firstCommit: 0, removedManifests: 0, removedFiles: 0 })
    expect(await pathsOf(storage)).toEqual(before)
    expect(defaultRetentionMs).toBe(30 * day)
  })

  test('removes manifests and their files from the front, never schemas', async () => {
    const { storage, log, purge } = await createAged(40)
    const result = await purge()
    expect(result).toMatchObject({ firstCommit: 14, removedManifests: 14, removedFiles: 11 })
    const paths = await pathsOf(storage)
    expect(paths.slice(0, 2)).toEqual([manifestPath(14), manifestPath(15)])
    expect(paths).toContain('tables/7/schema-0.json')
    const manifests = await expectWhole(storage)
    expect(manifests).toEqual(log.manifests.slice(14))
    const data = paths.filter((path) => parseDataFilePath(path) !== undefined)
    expect(data).toEqual(manifests.flatMap(filesOf).map(({ path }) => path))
    expect(await purge()).toMatchObject({ firstCommit: 14, removedManifests: 0 })
  })

  test('keeps the newest manifest whatever its age: it holds the position', async () => {
    const { storage, log, purge } = await createAged(3)
    expect(await purge({ retentionMs: -day })).toMatchObject({ firstCommit: 7 })
    const reopened = await openTestLog(storage)
    expect(reopened.manifests[0]).toEqual(log.manifests[7])
    expect(reopened.manifests).toHaveLength(2)
  })

  test('leaves what a gateway must remember of each table', async () => {
    const { storage, purge } = await createAged(40)
    await purge()
    const { base } = await openTestLog(storage)
    expect(base).toEqual({
      first: 14,
      last_sequence: '13',
      incarnation: 'i',
      tables: [
        { table_id: '7', last_commit: 13, entries: [named('7'), started('7'), finished('7')] },
        { table_id: '8', last_commit: 4, entries: [named('8'), started('8'), finished('8')] },
      ],
    })
  })

  test('names who loses what, once', async () => {
    const { purge } = await createAged(40)
    const appliedCommits = new Map<string, (tableId: string) => number | undefined>([
      ['behind', () => 9],
      ['new', () => undefined],
      ['just', () => 13],
      ['far', () => 44],
      ['mixed', (tableId: string) => (tableId === '7' ? 4 : 13)],
    ])
    const result = await purge({ appliedCommits })
    // Table 8 has not changed since commit 4: whoever has applied that lost nothing of it.
    expect(result.gaps).toEqual([
      { pipelineId: 'behind', tableIds: ['7'] },
      { pipelineId: 'new', tableIds: ['7', '8'] },
      { pipelineId: 'mixed', tableIds: ['7'] },
    ])
    expect(result.agedOutSnapshots).toEqual(['7', '8'])
    const { base } = result
    expect([9, 13, undefined].map((applied) => lostToPurge(base, '7', applied))).toEqual([
      true,
      false,
      true,
    ])
    expect(lostToPurge(base, '8', 4)).toBe(false)
    expect(lostToPurge(base, '9', undefined)).toBe(false)
    expect(await purge({ appliedCommits })).toMatchObject({ gaps: [], agedOutSnapshots: [] })
  })

  test('a table that was copied anew since is lost to nobody', async () => {
    const { log, publish, purge } = await createAged(10)
    await publish(started('7', 1), await chunk(log, '7', 1), finished('7', 1))
    for (let n = 0; n < 5; n++) await publish(await stageChanges(log, '7', 200 + n))
    const result = await purge({ retentionMs: 5 * day, appliedCommits: new Map([['p', () => 6]]) })
    expect(result).toMatchObject({ firstCommit: 15, gaps: [], agedOutSnapshots: ['8'] })
    // One that was only begun does not help yet.
    await publish(started('7', 2))
    expect(
      (await purge({ retentionMs: day, appliedCommits: new Map([['p', () => 6]]) })).gaps,
    ).toEqual([{ pipelineId: 'p', tableIds: ['7'] }])
  })

  test('keeps a copy whole or removes it whole', async () => {
    const { storage, purge, publish, log } = await createAged(0)
    // Copies overlap: 7 is commits 1–3, 8 is 2–4; nothing can be cut before both are old.
    for (const [days, first] of [
      [4, 0],
      [3, 1],
      [2, 1],
      [1, 1],
    ] as const) {
      expect((await purge({ retentionMs: days * day })).firstCommit).toBe(first)
      await expectWhole(storage)
    }
    await publish(await stageChanges(log, '7', 100))
    expect((await purge({ retentionMs: 0 })).firstCommit).toBe(5)
    await expectWhole(storage)
  })

  test('keeps a copy that is being made, until it is given up', async () => {
    const { purge, publish, log } = await createAged(2)
    await publish(started('8', 1))
    for (let n = 0; n < 9; n++) await publish(await stageChanges(log, '7', 200 + n))
    expect((await purge({ retentionMs: day })).firstCommit).toBe(7)
    await publish({ kind: 'gap', table_id: '8', reason: 'gone' })
    const { firstCommit, base } = await purge({ retentionMs: 0 })
    expect(firstCommit).toBe(17)
    expect(base.tables[1]).toMatchObject({ entries: [named('8'), started('8', 1)] })
  })

  test('stopped at any step it is finished by the next one', async () => {
    const calm = await createAged(8)
    const expected = await calm.purge({ retentionMs: 3 * day })
    const left = await pathsOf(calm.storage)
    const whole = stopAfter((await createAged(8)).storage, Infinity)
    await calm.purge({ storage: whole, retentionMs: 3 * day })
    expect(whole.steps).toBe(1 + expected.removedFiles + expected.removedManifests)
    for (let limit = 0; limit < whole.steps; limit++) {
      const { storage, purge } = await createAged(8)
      const stopped = purge({ storage: stopAfter(storage, limit), retentionMs: 3 * day })
      await expect(stopped).rejects.toThrow('stopped')
      await expectWhole(storage)
      await purge({ storage: stopAfter(storage, 1), retentionMs: 3 * day }).catch(() => undefined)
      await expectWhole(storage)
      expect(await purge({ retentionMs: 3 * day })).toMatchObject({
        firstCommit: expected.firstCommit,
      })
      expect(await pathsOf(storage)).toEqual(left)
      expect(await expectWhole(storage)).toHaveLength(expected.base.first === 9 ? 4 : 0)
    }
  })

  test('stopped at its failpoint it has removed data of no manifest that counts', async () => {
    const { storage, purge } = await createAged(8)
    await expect(purge({ retentionMs: 3 * day, failpoints: stoppedAtRemoval })).rejects.toThrow(
      'stopped',
    )
    expect(await pathsOf(storage, '_log/')).toContain(manifestPath(0))
    expect((await expectWhole(storage))[0]?.commit).toBe(9)
    // A gateway that takes over in between, and then its purge.
    const log = await openTestLog(storage, { clock: { nowMs: () => 12 * day } })
    expect(log.manifests[0]?.commit).toBe(9)
    // Damaged ones before the front are in nobody's way.
    await storage.write(manifestPath(4), Buffer.from('{"format":1'))
    await storage.write(manifestPath(6), Buffer.alloc(0))
    await purge({ retentionMs: 3 * day })
    expect((await pathsOf(storage, '_log/'))[0]).toBe(manifestPath(9))
    await expectWhole(storage)
  })

  test('refuses to move the front back behind another purge', async () => {
    const { storage, purge } = await createAged(8)
    let reads = 0
    const slow = {
      ...storage,
      async read(path: string) {
        if (path === logBasePath && ++reads === 2) await purge({ retentionMs: day })
        return storage.read(path)
      },
    }
    await expect(purge({ storage: slow, retentionMs: 3 * day })).rejects.toThrow('another purge')
    expect((await expectWhole(storage))[0]?.commit).toBe(11)
  })
})

/** What a gateway rebuilds from a log: the newest entry of each kind that still means something. */
function stateOf(entries: readonly ManifestEntry[]): unknown {
  const tables = new Map<string, Record<string, ManifestEntry>>()
  for (const entry of entries) {
    const { kind } = entry
    if (kind === 'changes' || kind === 'truncate' || kind === 'snapshot_chunk') continue
    const known = tables.get(entry.table_id) ?? {}
    if (kind === 'snapshot_started') {
      tables.set(entry.table_id, {
        ...(known['table'] && { table: known['table'] }),
        [kind]: entry,
      })
    } else tables.set(entry.table_id, { ...known, [kind]: entry })
  }
  return Object.fromEntries(tables)
}

test('a purged log tells the same state as the whole one, and never cuts a copy', () => {
  const table = fc.constantFrom('1', '2', '3')
  const step = fc.tuple(
    fc.constantFrom('table', 'start', 'finish', 'truncate', 'gap', 'none'),
    table,
    fc.nat(3),
  )
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 1, maxLength: 60 }),
      fc.array(fc.nat(70)),
      (steps, cuts) => {
        const ids = new Map<string, number>()
        let at = 0
        const manifests = steps.map(([kind, id, pause], commit): Manifest => {
          at += pause
          const entries: ManifestEntry[] = []
          const copy = ids.get(id)
          if (kind === 'table') entries.push(named(id))
          if (kind === 'start') entries.push(started(id, (copy ?? -1) + 1))
          if (kind === 'start') ids.set(id, (copy ?? -1) + 1)
          if (kind === 'finish' && copy !== undefined) entries.push(finished(id, copy))
          if (kind === 'gap') entries.push({ kind, table_id: id, reason: '' })
          if (kind === 'truncate') {
            entries.push({ kind, table_id: id, snapshot_id: 0, sequence: '0', ordinal: 0 })
          }
          const range = kind === 'truncate' ? { last_sequence: String(commit) } : {}
          return {
            format: 1,
            commit,
            epoch: 1,
            writer: 'w',
            created_at_ms: at,
            incarnation: '',
            position_before: '',
            position_after: '',
            ...range,
            entries,
          }
        })
        let content = { base: emptyLogBase, manifests }
        for (const cut of cuts.toSorted((a, b) => a - b)) {
          const { first } = tell(new PurgePlan(cut), content.base, content.manifests)
          expect(first).toBeGreaterThanOrEqual(content.base.first)
          const fold = new BaseFold(content.base)
          for (const purged of content.manifests) if (purged.commit < first) fold.take(purged)
          content = {
            base: fold.baseAt(first),
            manifests: content.manifests.filter(({ commit }) => commit >= first),
          }
          const kept = content.manifests.flatMap(({ entries }) => entries)
          const carried = content.base.tables.flatMap(({ entries }) => entries)
          expect(stateOf([...carried, ...kept])).toEqual(
            stateOf(manifests.flatMap((m) => m.entries)),
          )
          expect(content.manifests.length).toBeGreaterThan(0)
          for (const entry of kept) {
            // The first end of a copy that is still there has its beginning there too.
            if (entry.kind !== 'snapshot_finished') continue
            const ends = manifests.flatMap((m) => (m.entries.includes(entry) ? [m.commit] : []))
            const begin = manifests.find((m) =>
              m.entries.some(
                (e) =>
                  e.kind === 'snapshot_started' &&
                  e.table_id === entry.table_id &&
                  e.snapshot_id === entry.snapshot_id,
              ),
            )
            expect(ends[0]).toBeDefined()
            expect(begin?.commit).toBeGreaterThanOrEqual(first)
          }
          const last = manifests
            .filter(({ commit }) => commit < first)
            .findLast((m) => m.last_sequence !== undefined)
          expect(content.base.last_sequence).toBe(last?.last_sequence)
        }
      },
    ),
  )
})

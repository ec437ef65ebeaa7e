/**
 * The purge of a staging volume: removes what is older than the retention, from the front only.
 * Order, each step durable before the next; a stop anywhere is finished by the next purge:
 * 1. `_log/_first` says where the log begins from now on. Older manifests count no longer, so no
 *    manifest that counts ever names a file that is gone.
 * 2. The data files of the older manifests are removed. Failpoint `staging.purge-data-removed`.
 * 3. The older manifests are removed, ascending.
 * 4. So are data files of that time which no manifest ever named, and no gateway removed.
 * One purge at a time, by the gateway that holds the volume.
 */

import type { Clock } from '../base/clock.ts'
import { hasCode, SluiceError } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { Log } from '../observe/log.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { AgedNames, removeAgedOrphans } from './aged-orphans.ts'
import { logBasePath, logFolder, manifestPath, parseManifestPath } from './layout.ts'
import type { BaseTable, LogBase } from './log-base.ts'
import { encodeLogBase } from './manifest-codec.ts'
import type { CommitNumber, StoredManifest } from './manifest.ts'
import { mapConcurrent, readConcurrency } from './map-concurrent.ts'
import { filesOf } from './orphans.ts'
import { BaseFold, PurgePlan } from './purge-plan.ts'
import { readLogBase, readManifest, tellLog, tellStored } from './read-log.ts'
import { onVolume } from './volume-error.ts'

export const defaultRetentionMs = 30 * 24 * 60 * 60 * 1000

export interface PurgeOptions {
  readonly storage: ObjectStorage
  /** Manifests older than this are removed; `defaultRetentionMs` unless given. */
  readonly retentionMs?: number
  /**
   * Pipeline id → staged commit up to which that pipeline has looked at everything of a table
   * (undefined: it has loaded nothing of it). Only for telling who loses data.
   */
  readonly appliedCommits: ReadonlyMap<string, (tableId: string) => CommitNumber | undefined>
  readonly clock: Clock
  readonly log: Log
  readonly failpoints: Failpoints
}

/** A pipeline that had not applied what was removed: these tables need a full refresh there. */
export interface PurgeGap {
  readonly pipelineId: string
  readonly tableIds: readonly string[]
}

export interface PurgeResult {
  /** Where the log begins now. */
  readonly firstCommit: CommitNumber
  readonly base: LogBase
  readonly removedManifests: number
  readonly removedFiles: number
  readonly removedBytes: number
  /** Data files that no manifest ever named. */
  readonly removedOrphans: number
  /** Data that aged out unapplied in this purge. Empty when nobody lost anything. */
  readonly gaps: readonly PurgeGap[]
  /** Tables whose newest copy aged out: a pipeline that has not loaded them yet needs a new copy. */
  readonly agedOutSnapshots: readonly string[]
}

/** Manifests that are removed together. */
const pieceCommits = 1024

/** A purge reads the whole log: it waits until this share of the retention is to be removed at once. */
const purgeShare = 1 / 30

/**
 * Whether there is something to purge, told by one or two looks at the front of the log. Throws
 * STAGING_MANIFEST_UNREADABLE and STORAGE_*.
 */
export async function isPurgeDue(
  storage: ObjectStorage,
  nowMs: number,
  retentionMs = defaultRetentionMs,
): Promise<boolean> {
  const { first } = await readLogBase(storage)
  // Manifests are removed ascending, so what a stopped purge left ends at the front.
  if (first > 0 && (await storage.stat(manifestPath(first - 1))) !== undefined) return true
  const oldest = await readManifest(storage, first)
  return oldest !== undefined && oldest.created_at_ms < nowMs - retentionMs * (1 + purgeShare)
}

/** Throws STAGING_LOG_GAP, STAGING_MANIFEST_UNREADABLE and STORAGE_*. */
export async function purge(options: PurgeOptions): Promise<PurgeResult> {
  const { storage, clock, retentionMs = defaultRetentionMs } = options
  try {
    const plan = new PurgePlan(clock.nowMs() - retentionMs)
    const aged = new AgedNames()
    const { base: before } = await tellLog(storage, {
      begin(base) {
        plan.begin(base)
        aged.begin(base)
      },
      take(manifest) {
        plan.take(manifest)
        aged.take(manifest)
      },
    })
    const { first } = plan
    const base = first === before.first ? before : await foldUpTo(storage, before, first)
    if (base !== before) await moveFront(storage, before, base)
    const removed = await removeBefore(first, before.first, options)
    const result: PurgeResult = {
      firstCommit: first,
      base,
      ...removed,
      removedOrphans: await removeAgedOrphans(storage, aged),
      ...losses({ before, base, plan }, options),
    }
    report(result, options)
    return result
  } catch (error) {
    throw onVolume(storage, error)
  }
}

async function foldUpTo(
  storage: ObjectStorage,
  before: LogBase,
  first: CommitNumber,
): Promise<LogBase> {
  const fold = new BaseFold(before)
  await tellStored(storage, { from: before.first, end: first }, (manifest) => fold.take(manifest))
  return fold.baseAt(first)
}

/** The commit point. Two purges at once would let the front go back; that is refused when seen. */
async function moveFront(storage: ObjectStorage, from: LogBase, to: LogBase): Promise<void> {
  const present = await readLogBase(storage)
  if (present.first !== from.first) {
    const text = `another purge of ${storage.url} is at work: its log now begins at ${present.first}`
    throw new SluiceError('INTERNAL_ERROR', text)
  }
  await storage.write(logBasePath, encodeLogBase(to))
}

type Removed = Pick<PurgeResult, 'removedManifests' | 'removedFiles' | 'removedBytes'>

/** In pieces, each of which goes before the next is looked at: there may be many. */
async function removeBefore(
  first: CommitNumber,
  formerFirst: CommitNumber,
  { storage, failpoints }: PurgeOptions,
): Promise<Removed> {
  let [removedManifests, removedFiles, removedBytes] = [0, 0, 0]
  const remove = async (commits: readonly CommitNumber[]): Promise<void> => {
    const manifests = await mapConcurrent(commits.length, readConcurrency, (n) =>
      readPurged(storage, commits[n] ?? first),
    )
    const purged = manifests.filter((manifest) => manifest !== undefined)
    const files = purged.flatMap(filesOf)
    await mapConcurrent(files.length, readConcurrency, async (n) => {
      const file = files[n]
      if (file !== undefined) await storage.delete(file.path)
    })
    if (purged.length > 0) failpoints.hit('staging.purge-data-removed')
    // One after the other: what a stop leaves is again a dense run that ends at the front.
    for (const { commit } of purged) await storage.delete(manifestPath(commit))
    removedManifests += purged.length
    removedFiles += files.length
    for (const { bytes } of files) removedBytes += bytes
  }
  let piece: CommitNumber[] = []
  for await (const commit of commitsBefore(first, formerFirst, storage)) {
    piece.push(commit)
    if (piece.length === pieceCommits) await remove(piece.splice(0))
  }
  await remove(piece)
  return { removedManifests, removedFiles, removedBytes }
}

/** One that was damaged no longer says what it named: those files go as files that nobody names. */
async function readPurged(
  storage: ObjectStorage,
  commit: CommitNumber,
): Promise<Pick<StoredManifest, 'commit' | 'entries'> | undefined> {
  try {
    return await readManifest(storage, commit)
  } catch (error) {
    if (hasCode(error, 'STAGING_MANIFEST_UNREADABLE')) return { commit, entries: [] }
    throw error
  }
}

/** Ascending. Those before the former front are there when an earlier purge was stopped. */
async function* commitsBefore(
  first: CommitNumber,
  formerFirst: CommitNumber,
  storage: ObjectStorage,
): AsyncGenerator<CommitNumber, void, undefined> {
  for await (const { path } of storage.list(logFolder)) {
    const commit = parseManifestPath(path)
    if (commit === undefined || commit >= formerFirst) break
    yield commit
  }
  for (let commit = formerFirst; commit < first; commit++) yield commit
}

function losses(
  purged: { readonly before: LogBase; readonly base: LogBase; readonly plan: PurgePlan },
  { appliedCommits }: PurgeOptions,
): Pick<PurgeResult, 'gaps' | 'agedOutSnapshots'> {
  const { before, base, plan } = purged
  const known = new Map(before.tables.map((table) => [table.table_id, table]))
  const aged = base.tables.filter((table) => table.last_commit >= before.first)
  // Who has lost changes of such a table loads its newer copy instead.
  const lost = aged.filter(({ table_id }) => (plan.finishedAt(table_id) ?? -1) < base.first)
  const gaps = [...appliedCommits].map(([pipelineId, applied]) => ({
    pipelineId,
    tableIds: lost
      .filter(({ table_id, last_commit }) => (applied(table_id) ?? -1) < last_commit)
      .map(({ table_id }) => table_id),
  }))
  return {
    gaps: gaps.filter(({ tableIds }) => tableIds.length > 0),
    agedOutSnapshots: lost
      .filter((table) => newestSnapshot(table) !== newestSnapshot(known.get(table.table_id)))
      .map(({ table_id }) => table_id),
  }
}

function newestSnapshot(table: BaseTable | undefined): number | undefined {
  return table?.entries.find((entry) => entry.kind === 'snapshot_started')?.snapshot_id
}

function report(result: PurgeResult, { storage, log }: PurgeOptions): void {
  if (result.removedManifests > 0 || result.removedOrphans > 0) {
    log.info('staging volume purged', {
      volume: storage.url,
      firstCommit: result.firstCommit,
      manifests: result.removedManifests,
      files: result.removedFiles,
      bytes: result.removedBytes,
      orphans: result.removedOrphans,
    })
  }
  for (const { pipelineId, tableIds } of result.gaps) {
    log.error('staged data aged out before it was applied', {
      pipeline: pipelineId,
      tables: tableIds.join(' '),
    })
  }
}

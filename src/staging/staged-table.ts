/** What the staging log says about one table: its copies, what was staged on top of them, its gaps. */
import type { SourceTableName } from '../source/table-schema.ts'
import type {
  ChangesEntry,
  CommitNumber,
  GapEntry,
  ManifestEntry,
  SchemaChangeEntry,
  SnapshotChunkEntry,
  SnapshotResumedEntry,
  SnapshotStartedEntry,
  StoredManifest,
  TruncateEntry,
} from './manifest.ts'

/** One copy of a table and what was staged on top of it. */
export interface StagedSnapshot {
  readonly started: SnapshotStartedEntry
  /** undefined: the entry was purged, and the files before `LogBase.first` with it. */
  readonly startedAt: CommitNumber | undefined
  /** Of the commit it began with, or was last resumed with. */
  place: StagedPlace
  /** The newest time it went on after it had been cut off; undefined: it never was. */
  resumed: SnapshotResumedEntry | undefined
  resumedAt: CommitNumber | undefined
  /** By chunk number; a chunk staged again replaces the earlier one. */
  chunks: Map<number, SnapshotChunkEntry>
  /** Ascending by commit, inside a commit as the manifest lists them. */
  steps: StagedStep[]
  /** Newest commit of which chunks or steps are no longer above; undefined: all of them are. */
  forgottenUpTo: CommitNumber | undefined
  finishedAt: CommitNumber | undefined
  /** A gap came after it began: nothing staged later counts for it. */
  isVoid: boolean
  voidAt: CommitNumber | undefined
}

export interface StagedPlace {
  /** Greatest sequence up to and including the commit, decimal; undefined when there was none. */
  readonly lastSequence: string | undefined
  readonly createdAtMs: number
}

export interface StagedStep {
  readonly commit: CommitNumber
  readonly entry: ChangesEntry | TruncateEntry | SchemaChangeEntry
  /** When the transactions of its commit committed at the source; undefined when it held none. */
  readonly times: CommitTimes | undefined
}

/** Microseconds since 1970, decimal. */
export interface CommitTimes {
  readonly min: string
  readonly max: string
}

export interface StagedTable {
  readonly tableId: string
  name: SourceTableName
  /** Commit of the newest `table` entry; -1: known from the log's base only. */
  namedAt: CommitNumber
  readonly snapshots: Map<number, StagedSnapshot>
  /** The newest gap. */
  gap: { readonly commit: CommitNumber; readonly entry: GapEntry } | undefined
  /** By the newest gap, and no copy was begun since: it comes back under a new copy or never. */
  isGone: boolean
  /** The newest full refresh that a person asked for. */
  refreshedAt?: CommitNumber
}

/** What `takeTableEntry` needs to know of the manifest an entry is in. */
export interface EntryContext {
  /** -1: known from the log's base only. */
  readonly commit: CommitNumber
  readonly place: StagedPlace
  readonly times: CommitTimes | undefined
}

export type TakenManifest = Omit<StoredManifest, 'incarnation'>

export function contextOf(manifest: TakenManifest, lastSequence: string | undefined): EntryContext {
  const { commit, created_at_ms: createdAtMs } = manifest
  const { min_commit_time_us: min, max_commit_time_us: max } = manifest
  const times = min === undefined || max === undefined ? undefined : { min, max }
  return { commit, place: { lastSequence, createdAtMs }, times }
}

export function takeTableEntry(
  table: Pick<StagedTable, 'snapshots' | 'gap' | 'isGone' | 'refreshedAt'>,
  entry: Exclude<ManifestEntry, { kind: 'table' }>,
  context: EntryContext,
): void {
  const { commit } = context
  if (entry.kind === 'gap') {
    table.gap = { commit, entry }
    table.isGone = entry.gone === true
    if (entry.full_refresh === true) table.refreshedAt = commit
    for (const snapshot of table.snapshots.values()) {
      snapshot.isVoid = true
      snapshot.voidAt ??= commit
    }
    return
  }
  if (entry.kind === 'snapshot_started') {
    table.isGone = false
    table.snapshots.set(entry.snapshot_id, begunSnapshot(entry, context))
    return
  }
  const snapshot = table.snapshots.get(entry.snapshot_id)
  if (snapshot === undefined || snapshot.isVoid) return
  switch (entry.kind) {
    case 'snapshot_resumed':
      snapshot.resumed = entry
      snapshot.resumedAt = commit
      snapshot.place = context.place
      break
    case 'snapshot_chunk':
      snapshot.chunks.set(entry.chunk, entry)
      break
    case 'snapshot_finished':
      snapshot.finishedAt = commit
      forgetOlder(table, entry.snapshot_id)
      break
    case 'changes':
    case 'truncate':
    case 'schema_change':
      snapshot.steps.push({ commit, entry, times: context.times })
      break
    default:
      entry satisfies never
  }
}

function begunSnapshot(started: SnapshotStartedEntry, context: EntryContext): StagedSnapshot {
  return {
    started,
    startedAt: context.commit < 0 ? undefined : context.commit,
    place: context.place,
    resumed: undefined,
    resumedAt: undefined,
    chunks: new Map(),
    steps: [],
    forgottenUpTo: undefined,
    finishedAt: undefined,
    isVoid: false,
    voidAt: undefined,
  }
}

/** Copies that never finished are superseded; finished ones stay: an update may stop at a barrier before the newest. */
function forgetOlder({ snapshots }: Pick<StagedTable, 'snapshots'>, snapshotId: number): void {
  for (const [id, snapshot] of snapshots) {
    if (id < snapshotId && snapshot.finishedAt === undefined) snapshots.delete(id)
  }
}

/**
 * What was staged up to `applied` is in the destination, and its chunks when that was loaded from it.
 * Changes of the schema stay: later steps are judged by them, and there are few.
 */
export function forgetApplied(snapshot: StagedSnapshot, applied: CommitNumber): void {
  const { chunks, steps, finishedAt } = snapshot
  let forgotten = snapshot.forgottenUpTo ?? -1
  const isApplied = ({ commit, entry }: StagedStep): boolean =>
    commit <= applied && entry.kind !== 'schema_change'
  const last = steps.findLast(isApplied)
  if (last !== undefined) {
    forgotten = Math.max(forgotten, last.commit)
    snapshot.steps = steps.filter((step) => !isApplied(step))
  }
  if (chunks.size > 0 && finishedAt !== undefined && finishedAt <= applied) {
    forgotten = Math.max(forgotten, finishedAt)
    snapshot.chunks = new Map()
  }
  if (forgotten >= 0) snapshot.forgottenUpTo = forgotten
}

/** All there is of a copy that is not finished: it can be recalled once it is. */
export function forgetChunks(snapshot: StagedSnapshot, upTo: CommitNumber): void {
  if (snapshot.chunks.size === 0) return
  snapshot.forgottenUpTo = Math.max(snapshot.forgottenUpTo ?? -1, upTo)
  snapshot.chunks = new Map()
}

/** The newest copy that is finished by `target`. */
export function newestFinished(
  snapshots: StagedTable['snapshots'],
  target: CommitNumber,
): StagedSnapshot | undefined {
  let newest: StagedSnapshot | undefined
  for (const snapshot of snapshots.values()) {
    if (snapshot.finishedAt === undefined || snapshot.finishedAt > target) continue
    if (newest === undefined || snapshot.started.snapshot_id > newest.started.snapshot_id) {
      newest = snapshot
    }
  }
  return newest
}

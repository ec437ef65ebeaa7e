/**
 * What the staging log says about each table, gathered manifest by manifest. What is applied is
 * forgotten again, so that it does not grow with the log; who needs it all the same has it recalled.
 */
import { groupBy } from './group-by.ts'
import type { SourceTableName } from '../source/table-schema.ts'
import type { LogBase } from '../staging/log-base.ts'
import type { LogSink } from '../staging/read-log.ts'
import type {
  ChangesEntry,
  CommitNumber,
  GapEntry,
  Manifest,
  ManifestEntry,
  SchemaChangeEntry,
  SnapshotChunkEntry,
  SnapshotResumedEntry,
  SnapshotStartedEntry,
  StoredManifest,
  TruncateEntry,
} from '../staging/manifest.ts'

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

/** Chunks and steps of a copy that are needed again, from this commit on. */
export interface Recall {
  readonly tableId: string
  readonly snapshotId: number
  readonly from: CommitNumber
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
interface EntryContext {
  /** -1: known from the log's base only. */
  readonly commit: CommitNumber
  readonly place: StagedPlace
  readonly times: CommitTimes | undefined
}

/**
 * How many of the newest commits are kept whole, at least, while a log is told from its beginning:
 * what is applied is not known yet, and the log may be longer than memory.
 */
const keptAtStart = 10_000

export class StagedTables implements LogSink {
  readonly #tables = new Map<string, StagedTable>()
  readonly #barriers: CommitNumber[] = []
  /** Of the barriers and of the newest commit. */
  readonly #positions = new Map<CommitNumber, string>()
  #newest: CommitNumber | undefined
  #lastSequence: string | undefined
  /** Nothing was said yet about what is applied. */
  #isBeginning = true

  begin(base: LogBase): void {
    this.#isBeginning = true
    this.#tables.clear()
    this.#positions.clear()
    this.#barriers.length = 0
    this.#newest = undefined
    this.#lastSequence = base.last_sequence
    const place = { lastSequence: base.last_sequence, createdAtMs: 0 }
    for (const { entries } of base.tables) {
      for (const entry of entries) this.#take(entry, { commit: -1, place, times: undefined })
    }
  }

  take(manifest: Manifest): void {
    const { commit, barrier, position_after: position } = manifest
    this.#lastSequence = manifest.last_sequence ?? this.#lastSequence
    const context = contextOf(manifest, this.#lastSequence)
    for (const entry of manifest.entries) this.#take(entry, context)
    if (this.#newest !== undefined && this.#newest !== this.#barriers.at(-1)) {
      this.#positions.delete(this.#newest)
    }
    if (barrier === true) this.#barriers.push(commit)
    this.#positions.set(commit, position)
    this.#newest = commit
    if (this.#isBeginning && commit % keptAtStart === 0) this.#forgetUpTo(commit - keptAtStart)
  }

  /** Number of the newest staged commit; undefined before the first. */
  get newest(): CommitNumber | undefined {
    return this.#newest
  }

  /** Commits an update stops at, ascending. */
  get barriers(): readonly CommitNumber[] {
    return this.#barriers
  }

  /** Place in the source's log after a barrier or the newest commit. */
  positionAt(commit: CommitNumber): string {
    return this.#positions.get(commit) ?? ''
  }

  table(tableId: string): StagedTable | undefined {
    return this.#tables.get(tableId)
  }

  /**
   * Lets go of what no plan needs whose tables are applied as `appliedOf` says: up to a commit, or not
   * at all (undefined: what is staged is still needed).
   */
  forget(appliedOf: (tableId: string) => CommitNumber | undefined): void {
    this.#isBeginning = false
    for (const table of this.#tables.values()) {
      const applied = appliedOf(table.tableId)
      if (applied === undefined) continue
      for (const snapshot of table.snapshots.values()) forgetApplied(snapshot, applied)
    }
  }

  #forgetUpTo(commit: CommitNumber): void {
    for (const { snapshots } of this.#tables.values()) {
      for (const snapshot of snapshots.values()) forgetApplied(snapshot, commit)
    }
  }

  /** The log from the smallest `from` of `recalls` to the newest commit has to be told to it. */
  recalling(recalls: readonly Recall[]): Recalling {
    return new Recalling(
      recalls.flatMap((recall) => {
        const snapshot = this.#tables.get(recall.tableId)?.snapshots.get(recall.snapshotId)
        return snapshot === undefined ? [] : [{ recall, snapshot }]
      }),
    )
  }

  /**
   * One per source name: of tables that had the same name in turn, the one named last of those that
   * the source still has; of others when it has none.
   */
  current(): readonly StagedTable[] {
    const byName = groupBy(this.#tables.values(), ({ name }) =>
      JSON.stringify([name.catalog, name.schema, name.table]),
    )
    return [...byName.values()].map((tables) => {
      const living = tables.filter(({ isGone }) => !isGone)
      const candidates = living.length > 0 ? living : tables
      return candidates.reduce((latest, table) =>
        table.namedAt >= latest.namedAt ? table : latest,
      )
    })
  }

  #take(entry: ManifestEntry, context: EntryContext): void {
    if (entry.kind === 'table') {
      this.#name(entry, context.commit)
      return
    }
    const table = this.#tables.get(entry.table_id)
    if (table !== undefined) takeTableEntry(table, entry, context)
  }

  #name(entry: Extract<ManifestEntry, { kind: 'table' }>, commit: CommitNumber): void {
    const name: SourceTableName = {
      ...(entry.source_catalog === undefined ? {} : { catalog: entry.source_catalog }),
      schema: entry.source_schema,
      table: entry.source_table,
    }
    const known = this.#tables.get(entry.table_id)
    if (known === undefined) {
      const table = {
        tableId: entry.table_id,
        name,
        namedAt: commit,
        gap: undefined,
        isGone: false,
      }
      this.#tables.set(entry.table_id, { ...table, snapshots: new Map() })
    } else {
      known.name = name
      known.namedAt = commit
    }
  }
}

type TakenManifest = Omit<StoredManifest, 'incarnation'>

function contextOf(manifest: TakenManifest, lastSequence: string | undefined): EntryContext {
  const { commit, created_at_ms: createdAtMs } = manifest
  const { min_commit_time_us: min, max_commit_time_us: max } = manifest
  const times = min === undefined || max === undefined ? undefined : { min, max }
  return { commit, place: { lastSequence, createdAtMs }, times }
}

function takeTableEntry(
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
function forgetApplied(snapshot: StagedSnapshot, applied: CommitNumber): void {
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

type RecallingTable = Pick<StagedTable, 'snapshots' | 'gap' | 'isGone'>

interface RecalledCopy {
  readonly recall: Recall
  readonly snapshot: StagedSnapshot
}

interface RecallingCopy extends RecalledCopy {
  readonly again: RecallingTable
}

/** Takes in manifests once more, for some copies. */
export class Recalling {
  readonly #copies: readonly RecallingCopy[]
  readonly #byTable: ReadonlyMap<string, readonly RecallingCopy[]>

  constructor(copies: readonly RecalledCopy[]) {
    this.#copies = copies.map((copy) => ({ ...copy, again: emptiedAt(copy) }))
    this.#byTable = groupBy(this.#copies, ({ recall }) => recall.tableId)
  }

  /** From here on; undefined: nothing is to be told. */
  get from(): CommitNumber | undefined {
    if (this.#copies.length === 0) return undefined
    return this.#copies.reduce((least, { recall }) => Math.min(least, recall.from), Infinity)
  }

  take(manifest: TakenManifest): void {
    const context = contextOf(manifest, undefined)
    for (const entry of manifest.entries) {
      if (entry.kind === 'table') continue
      for (const { recall, again } of this.#byTable.get(entry.table_id) ?? []) {
        if (manifest.commit >= recall.from) takeTableEntry(again, entry, context)
      }
    }
  }

  /** All was told: the copies have it. */
  end(): void {
    for (const { recall, snapshot, again } of this.#copies) {
      const { forgottenUpTo, startedAt } = snapshot
      const taken = again.snapshots.get(recall.snapshotId)
      if (taken === undefined || forgottenUpTo === undefined || forgottenUpTo < recall.from)
        continue
      const earlier = snapshot.steps.filter(({ commit }) => commit < recall.from)
      snapshot.steps = [...earlier, ...taken.steps]
      snapshot.chunks = taken.chunks
      const isWhole = startedAt !== undefined && recall.from <= startedAt
      snapshot.forgottenUpTo = isWhole ? undefined : recall.from - 1
    }
  }
}

/** The table as it stood before the recalled commits, but for what is forgotten. */
function emptiedAt({ recall, snapshot }: RecalledCopy): RecallingTable {
  const isVoid = snapshot.voidAt !== undefined && snapshot.voidAt < recall.from
  const copy = { ...snapshot, chunks: new Map(), steps: [], isVoid }
  return { snapshots: new Map([[recall.snapshotId, copy]]), gap: undefined, isGone: false }
}

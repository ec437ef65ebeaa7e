/** Decides where the log begins after a purge, and what has to be remembered of what went. */
import { type BaseTable, emptyLogBase, type LogBase } from './log-base.ts'
import type { CommitNumber, Manifest, ManifestEntry, StoredManifest } from './manifest.ts'
import type { LogSink } from './read-log.ts'

/** A copy of a table, as commit numbers; undefined where the log does not say. */
interface SnapshotSpan {
  readonly tableId: string
  readonly started: CommitNumber
  finished: CommitNumber | undefined
  /** A later copy or a gap made it pointless to finish this one. */
  isGivenUp: boolean
}

/** Told a log, it says where that may begin from now on. */
export class PurgePlan implements LogSink {
  readonly #olderThanMs: number
  #base: LogBase = emptyLogBase
  #firstYoung: CommitNumber | undefined
  #newest: CommitNumber | undefined
  /** Ascending by start. */
  #spans: SnapshotSpan[] = []
  readonly #newestSpans = new Map<string, SnapshotSpan>()
  readonly #finished = new Map<string, CommitNumber>()

  /** Manifests that were written before may go. */
  constructor(olderThanMs: number) {
    this.#olderThanMs = olderThanMs
  }

  begin(base: LogBase): void {
    this.#base = base
    this.#firstYoung = this.#newest = undefined
    this.#spans = []
    this.#newestSpans.clear()
    this.#finished.clear()
  }

  take({ commit, created_at_ms: createdAtMs, entries }: Manifest): void {
    this.#newest = commit
    if (createdAtMs >= this.#olderThanMs) this.#firstYoung ??= commit
    for (const entry of entries) {
      if (entry.kind === 'snapshot_finished') this.#finished.set(entry.table_id, commit)
      const span = this.#newestSpans.get(entry.table_id)
      if (entry.kind === 'snapshot_started') {
        if (span !== undefined) span.isGivenUp = true
        const started: SnapshotSpan = {
          tableId: entry.table_id,
          started: commit,
          finished: undefined,
          isGivenUp: false,
        }
        this.#newestSpans.set(entry.table_id, started)
        this.#spans.push(started)
      } else if (span !== undefined && entry.kind === 'snapshot_finished') span.finished = commit
      else if (span !== undefined && entry.kind === 'gap') span.isGivenUp = true
    }
  }

  /**
   * The greatest commit number at which the log may begin so that
   * - only manifests written before `olderThanMs` go, and the newest one stays;
   * - a copy of a table stays whole or goes whole, and stays while it is being made.
   */
  get first(): CommitNumber {
    let first = this.#firstYoung ?? this.#newest ?? this.#base.first
    // From the newest on: moving the front back may cut an older copy, never a newer one again.
    for (const span of this.#spans.toReversed()) {
      const isOpen = span.finished === undefined && !span.isGivenUp
      const endsAfter = isOpen || (span.finished !== undefined && span.finished >= first)
      if (span.started < first && endsAfter) first = span.started
    }
    return first
  }

  /** Commit of the newest whole copy of a table that was told; undefined when there was none. */
  finishedAt(tableId: string): CommitNumber | undefined {
    return this.#finished.get(tableId)
  }
}

type PurgedManifest = Pick<StoredManifest, 'commit' | 'last_sequence' | 'incarnation' | 'entries'>

/** Told the manifests that go, ascending, it says what has to be remembered of them. */
export class BaseFold {
  readonly #tables: Map<string, BaseTable>
  #lastSequence: string | undefined
  #incarnation: string | undefined

  constructor(base: LogBase) {
    this.#tables = new Map(base.tables.map((table) => [table.table_id, table]))
    this.#lastSequence = base.last_sequence
    this.#incarnation = base.incarnation
  }

  take({ commit, last_sequence: lastSequence, incarnation, entries }: PurgedManifest): void {
    this.#lastSequence = lastSequence ?? this.#lastSequence
    // One that leaves it out has that of the manifest before.
    this.#incarnation = incarnation ?? this.#incarnation ?? ''
    for (const entry of entries) {
      this.#tables.set(entry.table_id, foldEntry(this.#tables.get(entry.table_id), entry, commit))
    }
  }

  /** The base of a log that begins at `first`. */
  baseAt(first: CommitNumber): LogBase {
    const lastSequence = this.#lastSequence
    const incarnation = this.#incarnation
    return {
      first,
      ...(lastSequence === undefined ? {} : { last_sequence: lastSequence }),
      ...(incarnation === undefined ? {} : { incarnation }),
      tables: [...this.#tables.values()].toSorted((a, b) => (a.table_id < b.table_id ? -1 : 1)),
    }
  }
}

function foldEntry(
  table: BaseTable | undefined,
  entry: ManifestEntry,
  commit: CommitNumber,
): BaseTable {
  const entries = table?.entries ?? []
  const head = { table_id: entry.table_id, last_commit: commit }
  switch (entry.kind) {
    case 'table':
      // A name alone is no data: nobody loses anything when only this is purged.
      return {
        table_id: entry.table_id,
        last_commit: table?.last_commit ?? commit,
        entries: [...entries.filter(({ kind }) => kind !== 'table'), entry],
      }
    case 'snapshot_started':
      // A new copy supersedes whatever was known of the one before.
      return { ...head, entries: [...entries.filter(({ kind }) => kind === 'table'), entry] }
    case 'snapshot_finished':
    case 'gap':
      return { ...head, entries: [...entries.filter(({ kind }) => kind !== entry.kind), entry] }
    case 'snapshot_resumed':
    case 'snapshot_chunk':
    case 'changes':
    case 'truncate':
    // The schema's version is in the `table` entry beside it.
    case 'schema_change':
      return { ...head, entries }
    default:
      return entry satisfies never
  }
}

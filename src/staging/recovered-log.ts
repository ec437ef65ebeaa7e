/**
 * What the log of a staging volume says about the past of a gateway, gathered manifest by manifest:
 * as large as the number of tables and the chunks of unfinished copies, however long the log is.
 */
import type { LogBase } from './log-base.ts'
import type { CommitNumber, Manifest, ManifestEntry, SnapshotStartedEntry } from './manifest.ts'
import type { LogSink } from './read-log.ts'

export interface RecoveredChunk {
  /** undefined: the copy can not be resumed from it. */
  readonly range: string | undefined
  /** Number of the point it was read under. */
  readonly point: number
}

export interface RecoveredTable {
  readonly tableId: string
  /** `schema.table`; undefined when the log never named it. */
  name: string | undefined
  /** Newest on record, -1 before the first. */
  schemaVersion: number
  /** The newest copy that was begun; undefined before the first. */
  started: SnapshotStartedEntry | undefined
  /** Of that copy and each time it was resumed. */
  points: string[]
  /** Number of the first chunk under the newest point, and how many there are. */
  firstChunk: number
  chunkCount: number
  /** Chunks of that copy that are staged, by number; empty once it is finished or given up. */
  readonly chunks: Map<number, RecoveredChunk>
  /** Of all its staged chunks. */
  rows: number
  isFinished: boolean
  /** The table was discontinued after that copy was begun. */
  hasGap: boolean
  /** On record as gone, and no copy was begun since. */
  isGone: boolean
}

/** Where the log stands in that of the source. */
export interface RecoveredPlace {
  readonly incarnation: string
  readonly position: string
}

export interface RecoveredState {
  readonly place: RecoveredPlace | undefined
  readonly lastSequence: string | undefined
  readonly newestCommitTimeUs: string | undefined
  readonly tables: readonly RecoveredTable[]
}

/** The gateway was removed: whoever reads its source again begins anew. */
function isEnd({ position_before: before, position_after: after }: Manifest): boolean {
  return before !== '' && after === ''
}

export class RecoveredLog implements LogSink {
  readonly #tables = new Map<string, RecoveredTable>()
  #place: RecoveredPlace | undefined
  #lastSequence: string | undefined
  #newest: CommitNumber | undefined
  #newestCommitTimeUs: string | undefined

  begin(base: LogBase): void {
    this.#tables.clear()
    this.#place = this.#newest = this.#newestCommitTimeUs = undefined
    this.#lastSequence = base.last_sequence
    for (const { entries } of base.tables) for (const entry of entries) this.#note(entry)
  }

  /** Instead of `begin`: as if all up to `commit` had been told. */
  restore(state: RecoveredState, commit: CommitNumber): void {
    this.#tables.clear()
    for (const table of state.tables) this.#tables.set(table.tableId, copyOf(table))
    this.#place = state.place
    this.#lastSequence = state.lastSequence
    this.#newest = commit
    this.#newestCommitTimeUs = state.newestCommitTimeUs
  }

  /** What `restore` goes on from. */
  state(): RecoveredState {
    return {
      place: this.#place,
      lastSequence: this.#lastSequence,
      newestCommitTimeUs: this.#newestCommitTimeUs,
      tables: [...this.tables().values()],
    }
  }

  take(manifest: Manifest): void {
    for (const entry of manifest.entries) this.#note(entry)
    const { incarnation, position_after: position } = manifest
    if (isEnd(manifest)) this.#place = undefined
    else if (position !== '') this.#place = { incarnation, position }
    this.#lastSequence = manifest.last_sequence ?? this.#lastSequence
    this.#newest = manifest.commit
    this.#newestCommitTimeUs = manifest.max_commit_time_us ?? this.#newestCommitTimeUs
  }

  /** undefined when no gateway ever got as far as a position, or none has since one was removed. */
  get place(): RecoveredPlace | undefined {
    return this.#place
  }

  /** Greatest sequence of the log; 0 before the first. */
  get lastSequence(): bigint {
    return BigInt(this.#lastSequence ?? 0)
  }

  /** Number of the newest staged commit. */
  get newest(): CommitNumber | undefined {
    return this.#newest
  }

  /** When the newest transaction committed at the source, µs since 1970, decimal. */
  get newestCommitTimeUs(): string | undefined {
    return this.#newestCommitTimeUs
  }

  /** Of now; the caller's own. */
  tables(): Map<string, RecoveredTable> {
    return new Map([...this.#tables].map(([id, table]) => [id, copyOf(table)]))
  }

  #note(entry: ManifestEntry): void {
    let table = this.#tables.get(entry.table_id)
    if (table === undefined) {
      table = emptyTable(entry.table_id)
      this.#tables.set(entry.table_id, table)
    }
    noteEntry(table, entry)
  }
}

function copyOf(table: RecoveredTable): RecoveredTable {
  return { ...table, points: [...table.points], chunks: new Map(table.chunks) }
}

function noteEntry(table: RecoveredTable, entry: ManifestEntry): void {
  switch (entry.kind) {
    case 'table':
      table.name = `${entry.source_schema}.${entry.source_table}`
      table.schemaVersion = Math.max(table.schemaVersion, entry.schema_version)
      break
    case 'snapshot_started':
      table.started = entry
      table.points = [entry.point]
      table.firstChunk = 0
      table.chunkCount = entry.chunk_count
      table.chunks.clear()
      table.rows = 0
      table.isFinished = table.hasGap = table.isGone = false
      break
    case 'snapshot_resumed':
      if (table.started?.snapshot_id !== entry.snapshot_id) break
      table.points.push(entry.point)
      table.firstChunk = entry.first_chunk
      table.chunkCount = entry.chunk_count
      break
    case 'snapshot_chunk':
      if (table.started?.snapshot_id !== entry.snapshot_id || table.chunks.has(entry.chunk)) break
      table.chunks.set(entry.chunk, { range: entry.range, point: entry.resumption ?? 0 })
      for (const file of entry.files) table.rows += file.rows
      break
    case 'snapshot_finished':
      if (table.started?.snapshot_id !== entry.snapshot_id) break
      table.isFinished = true
      table.chunks.clear()
      break
    case 'schema_change':
      // Its `table` entry says the same for the version.
      if (table.started?.snapshot_id === entry.snapshot_id) {
        table.schemaVersion = Math.max(table.schemaVersion, entry.schema_version)
      }
      break
    case 'gap':
      table.hasGap = true
      table.chunks.clear()
      table.isGone = entry.gone === true
      break
    case 'changes':
    case 'truncate':
      break
    default:
      entry satisfies never
  }
}

function emptyTable(tableId: string): RecoveredTable {
  return {
    tableId,
    name: undefined,
    schemaVersion: -1,
    started: undefined,
    points: [],
    firstChunk: 0,
    chunkCount: 0,
    chunks: new Map(),
    rows: 0,
    isFinished: false,
    hasGap: false,
    isGone: false,
  }
}

/** The seam every source implements; the gateway knows nothing else about a database. */
import type { ErrorCode } from '../base/error-codes.ts'
import type { ChangeSink, SnapshotSink, TransactionInfo } from './change-sink.ts'
import type { Finding } from './finding.ts'
import type { SourceTable, TableId } from './table-schema.ts'

/** A place in the source's log. Opaque outside the source's folder and never compared elsewhere. */
export type Position = string & { readonly brand: 'Position' }

/** Proof of which log we read: server, timeline, database, slot. Opaque; equality is judged by the source. */
export type Incarnation = string & { readonly brand: 'Incarnation' }

/** What the gateway remembers between runs, exactly as the source gave it. */
export interface SourceState {
  readonly incarnation: Incarnation
  /** End of the last transaction that is durably staged. */
  readonly position: Position
}

/** Where a session goes on. */
export interface PreparedSource extends SourceState {
  /**
   * Present when the log goes on elsewhere than it was read before, for example on a promoted
   * server: both are the same up to here, no earlier than `position`. A copy whose point is later
   * shows what this source never had.
   */
  readonly branchedAt?: Position
}

/** One piece of a table copy. `id` is dense from 0. */
export interface SnapshotChunk {
  readonly id: number
  /** undefined when unknown. */
  readonly estimatedRows: number | undefined
  /** Bytes to be read at the source, as a measure of progress only. */
  readonly estimatedBytes?: number
  /** Durable text: which part of the table it reads. Absent: a copy cannot be resumed from it. */
  readonly range?: string
  /** Reads a part again that was read under an earlier point: only rows that may be newer. */
  readonly refresh?: true
}

/** Of a stream that runs beside a copy. */
export interface StreamHold {
  /**
   * Resolves when the stream stands between two transactions, where it stays. Tells what it has
   * delivered lately, newest last: the copy shows every one of them.
   */
  take(): Promise<readonly TransactionInfo[]>
  /** Lets it go on. */
  give(): void
}

export interface BeginSnapshotOptions {
  /** The copy shows every one of these (the call waits until it does). */
  readonly delivered: readonly TransactionInfo[]
  /**
   * Left out: no stream runs. All tables stand still while it is taken, so that is done as late as
   * can be, and it is given while anything is waited for. It is held when the call resolves.
   */
  readonly stream?: StreamHold
  /** Aborted: the call rejects soon. */
  readonly signal?: AbortSignal
}

/** What is durably staged of a copy that was cut off. */
export interface UnfinishedCopy {
  /** Of its begin and of every time it was resumed, oldest first. */
  readonly points: readonly string[]
  /** Chunks that were read to their end; `point` is a number in `points`. */
  readonly chunks: readonly { readonly range: string; readonly point: number }[]
}

/** refused: the table has to be copied from its beginning; `reason` is for people. */
export type ResumedSnapshot =
  | { readonly kind: 'resumed'; readonly snapshot: TableSnapshot }
  | { readonly kind: 'refused'; readonly reason: string }

/**
 * A consistent copy of one table, beside the stream. `point` is a durable text from which
 * `parseSnapshotPoint` tells, after any restart, which transactions the copy already contains.
 */
export interface TableSnapshot {
  readonly point: string
  readonly chunks: readonly SnapshotChunk[]
  /** The source's clock at its point, microseconds since 1970; undefined when it has none. */
  readonly takenAtUs?: bigint
  /** Of a resumed copy: what was read before, as `estimatedBytes` of a chunk counts. */
  readonly readBytes?: number
  /** Reads one chunk into `sink`; several calls may run at once, each on a connection of its own. */
  readChunk(chunk: SnapshotChunk, sink: SnapshotSink, signal: AbortSignal): Promise<void>
  close(): Promise<void>
}

export interface SnapshotPoint {
  /** True when the copy already shows this transaction: its changes to the table are to be dropped. */
  covers(transaction: TransactionInfo): boolean
  /** True when a stream that has delivered everything before `position` has passed the copy. */
  isPassedBy(position: Position): boolean
}

/** Why nothing comes, although the source is there. */
export interface SourceStall {
  readonly code: ErrorCode
  readonly message: string
  readonly remedy: string
}

/** How far the source's log reaches back, for people (I7). */
export interface SourceHealth {
  /** Bytes of log the source keeps for us. */
  readonly retainedBytes: bigint
  /** Bytes it may still grow before the source drops our log; undefined: no limit set. */
  readonly budgetBytes: bigint | undefined
  /** Bytes of log between our acknowledged position and the source's current one. */
  readonly lagBytes: bigint
  /** From a mark written at the source until the stream came past it; undefined: there are none. */
  readonly roundTripMs?: number | undefined
  readonly stall?: SourceStall | undefined
}

export interface StreamOptions {
  readonly from: Position
  readonly tables: readonly SourceTable[]
  readonly sink: ChangeSink
  readonly signal: AbortSignal
  /**
   * Deliver transactions that commit before this position, then resolve. A transaction that commits
   * at or after it is not delivered. The sink gets a final `heartbeat(until)`.
   */
  readonly until?: Position
}

/** 'renew': what was asked for is not reached yet; call again from what was delivered. */
export type StreamEnd = 'ended' | 'renew'

export interface Source {
  /** Every requirement at once, met or not; `tables` undefined checks the server only. */
  check(tables: readonly SourceTable[] | undefined): Promise<readonly Finding[]>
  /** All ordinary tables of the schemas, also those that cannot be captured (see `check`). */
  discoverTables(schemas: readonly string[]): Promise<readonly SourceTable[]>
  /** One of them as it is now, whatever its name; undefined when it is gone. */
  describeTable(id: TableId): Promise<SourceTable | undefined>
  /**
   * Makes sure the log is kept for us and that `tables` are in it (PostgreSQL: publication and slot).
   * With `saved`: proves that the log still is the one we read and reaches back to the position,
   * else throws SOURCE_INCARNATION_CHANGED or SOURCE_LOG_LOST. Without: starts now.
   */
  prepare(tables: readonly SourceTable[], saved: SourceState | undefined): Promise<PreparedSource>
  /**
   * `saved`, as the last `prepare` gave it, with what the source has learned since and told the sink
   * of. Asked for whenever it is kept anew; a source without the method learns nothing.
   */
  remember?(saved: Incarnation): Incarnation
  /** No earlier than any change visible to whoever looks at the source before this call. */
  currentPosition(): Promise<Position>
  /**
   * True when a copy of the table, begun now, would go together with the stream. False: ask again a
   * little later; the stream has to go on meanwhile. Throws like `beginSnapshot`.
   */
  canBeginCopy(table: SourceTable): Promise<boolean>
  /** Begins a copy of one table. */
  beginSnapshot(table: SourceTable, options: BeginSnapshotOptions): Promise<TableSnapshot>
  /**
   * Goes on with a copy that was cut off, under a new point that shows all the earlier ones show:
   * its chunks are the parts that were not read, and a refresh of those that were. Of a row that
   * changed since its part was read, some chunk has the version at the new point.
   */
  resumeSnapshot(
    table: SourceTable,
    copy: UnfinishedCopy,
    options: BeginSnapshotOptions,
  ): Promise<ResumedSnapshot>
  parseSnapshotPoint(point: string): SnapshotPoint
  /** Changes after `from`, whole transactions, commit order, each exactly once per call. */
  streamChanges(options: StreamOptions): Promise<StreamEnd>
  /** The source may discard its log up to here. Called only once staging is durable (I1). */
  acknowledge(position: Position): void
  /**
   * No stream goes on: resolves when the source itself knows what was acknowledged. A source without
   * the method knows it at once.
   */
  settle?(): Promise<void>
  health(): Promise<SourceHealth>
  /** Removes what `prepare` made at the source; says in words what that was. */
  dispose(): Promise<readonly string[]>
  close(): Promise<void>
}

export type { ChangeSink, SourceTable, TableId }

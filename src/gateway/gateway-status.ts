/** What a gateway tells about itself; polled by progress displays and `status`. */
import type { Trouble } from '../base/errors.ts'
import type { SourceTableName } from '../source/table-schema.ts'

/**
 * pending: waits for its copy · snapshotting: being copied · catching-up: copied, the stream has not
 * passed the copy's point yet · streaming: followed · failed: needs a person, the others go on.
 */
export type TableSyncState = 'pending' | 'snapshotting' | 'catching-up' | 'streaming' | 'failed'

export interface TableStatus {
  readonly tableId: string
  readonly name: SourceTableName
  readonly state: TableSyncState
  readonly snapshotRows: number
  readonly estimatedRows: number | undefined
  readonly snapshotBytes: number
  /** How far the present copy is, in bytes of the source; absent before it begins. Never goes back. */
  readonly copied?: { readonly doneBytes: number; readonly totalBytes: number }
  /** The source's estimate of the whole table. */
  readonly estimatedBytes?: number | undefined
  /** Changes staged since this process began. */
  readonly changes: number
  /** Why it is being copied anew, by itself; nothing is to be done. */
  readonly anew?: string
  /** Why it failed; code and message. */
  readonly problem?: Trouble
}

export interface GatewayStatus {
  readonly tables: readonly TableStatus[]
  readonly transactions: number
  readonly changes: number
  readonly stagedBytes: number
  /** Number of the newest staged commit, undefined before the first. */
  readonly stagedCommit: number | undefined
  /** Source commit time of the newest staged transaction, ms; undefined before the first. */
  readonly newestCommitAtMs: number | undefined
  /** From the source, refreshed about every 10 s. */
  readonly lagBytes: bigint | undefined
  readonly retainedBytes: bigint | undefined
  readonly budgetBytes: bigint | undefined
  /** Seconds until the source drops our log at the present rate of growth; undefined: no limit or no growth. */
  readonly secondsToLoss: number | undefined
  /** From a mark written at the source until the stream came past it. */
  readonly roundTripMs?: number | undefined
  /** Why nothing comes: the source says so, or cannot be read at the moment. */
  readonly stall?: Trouble | undefined
  /** Slots for which the source keeps log though nobody reads them, as of the last start. */
  readonly leftSlots?: readonly Trouble[]
}

export interface Gateway {
  /**
   * `once`: copies what is not yet copied, reads changes up to the source's position at the time of
   * the call, stages all of it and resolves. `continuous`: until `signal` aborts; then finishes the
   * open file, publishes, acknowledges and resolves. `until`: as `once` but up to, not including,
   * the given position, and marks the last staged commit as a barrier. Rejects when nothing can go on.
   */
  run(options: GatewayRunOptions): Promise<GatewayResult>
  status(): GatewayStatus
}

export type GatewayRunOptions =
  | { readonly mode: 'once' | 'continuous'; readonly signal: AbortSignal }
  | { readonly mode: 'until'; readonly until: string; readonly signal: AbortSignal }

export interface GatewayResult {
  /** Everything up to this staged commit is what the run has made available. */
  readonly stagedCommit: number | undefined
  /** Tables that need a person; the work asked for is not all done when this is not empty. */
  readonly failedTables: readonly TableStatus[]
}

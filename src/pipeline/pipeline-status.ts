/** What a pipeline tells about itself; polled by progress displays and `status`. */
import type { Trouble } from '../base/errors.ts'
import type { ScdType } from '../catalog/pipeline-definition.ts'
import type { SourceTableName } from '../source/table-schema.ts'

export interface PipelineTableStatus {
  readonly tableId: string
  /** What the source called it, as last staged. */
  readonly source?: SourceTableName
  /** `catalog.schema.table` of the destination. */
  readonly destination: string
  readonly scdType?: ScdType
  /** Staged commit the table is applied up to; undefined before its first load. */
  readonly appliedCommit: number | undefined
  /** Delta version after the last commit; undefined before the first. */
  readonly version: bigint | undefined
  readonly rowsLoaded: number
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly problem?: Trouble
  /** The source has the table no more, and nobody asked for it by name: it stays as it was. */
  readonly gone?: Trouble
}

/**
 * Seconds from source commit to visible Delta version, over the transactions this process followed.
 * Those that waited for the copy of a table do not count: that is the time of a load.
 */
export interface FreshnessStatus {
  readonly count: number
  readonly p50Seconds: number
  readonly p99Seconds: number
}

export interface PipelineStatus {
  readonly tables: readonly PipelineTableStatus[]
  readonly freshness: FreshnessStatus | undefined
  readonly updates: number
  /** Staged commit up to which this process has looked at every table; undefined before the first update. */
  readonly passedCommit?: number
}

export interface UpdateResult {
  /** All tables without a problem are applied up to this staged commit. */
  readonly appliedCommit: number | undefined
  readonly committedTables: number
  readonly failedTables: readonly PipelineTableStatus[]
  /** False when a barrier ended the update early and staged commits remain. */
  readonly caughtUp: boolean
}

export interface Pipeline {
  /** One update: all tables up to one staged commit (the newest, or the first barrier on the way). */
  update(options: { readonly signal: AbortSignal }): Promise<UpdateResult>
  /** Updates whenever staging has news, until `signal` aborts. */
  run(options: { readonly signal: AbortSignal }): Promise<void>
  status(): PipelineStatus
}

/**
 * A staged commit: one JSON file in `_log`, dense, put-if-absent, never rewritten. It is the only
 * thing that makes staged data visible. `docs/staging-format.md` describes every field.
 * Field names are the file's own spelling.
 */
import type { FileStatistics } from '../columnar/column-statistics.ts'

/** Number of a staged commit, dense from 0; also its file name in 20 digits. */
export type CommitNumber = number

export interface StagedFile {
  /** Relative to the volume. */
  readonly path: string
  readonly rows: number
  readonly bytes: number
  /** CRC-32 of the whole file, to notice a torn or altered one before it is applied. */
  readonly crc32: number
  /** The file has an `_unfit` column: how many cells the column types can not hold. */
  readonly unfit_cells?: number
  /** Of snapshot files; change files have none. */
  readonly statistics?: FileStatistics
}

/** A table as the log first names it, and again when its source name or schema changes. */
export interface TableEntry {
  readonly kind: 'table'
  readonly table_id: string
  readonly source_catalog?: string
  readonly source_schema: string
  readonly source_table: string
  /** n of `tables/<id>/schema-<n>.json`, dense from 0. */
  readonly schema_version: number
}

export interface SnapshotStartedEntry {
  readonly kind: 'snapshot_started'
  readonly table_id: string
  /** Dense per table from 0. Everything staged for the table under a smaller id is superseded. */
  readonly snapshot_id: number
  readonly schema_version: number
  /** Opaque text of the source: which transactions the copy contains. */
  readonly point: string
  readonly chunk_count: number
  readonly estimated_rows?: number
  /** The source's clock at the point, microseconds since 1970, decimal; absent where it has none. */
  readonly taken_at_us?: string
}

/**
 * The copy goes on under a newer point of the source: from here on it is a copy of that point.
 * Chunks staged before stay; rows of theirs that changed since are superseded (see
 * docs/staging-format.md, "A copy that was resumed").
 */
export interface SnapshotResumedEntry {
  readonly kind: 'snapshot_resumed'
  readonly table_id: string
  readonly snapshot_id: number
  /** Dense per copy from 1. */
  readonly resumption: number
  readonly point: string
  /** The chunks still to come have the numbers from here on, `chunk_count` of them. */
  readonly first_chunk: number
  readonly chunk_count: number
  /** As of `snapshot_started`. */
  readonly taken_at_us?: string
}

export interface SnapshotChunkEntry {
  readonly kind: 'snapshot_chunk'
  readonly table_id: string
  readonly snapshot_id: number
  readonly schema_version: number
  readonly chunk: number
  /** Empty when the chunk has no rows. Columns of the table only. */
  readonly files: readonly StagedFile[]
  /** Opaque text of the source: the part of the table it read. Absent: it cannot be resumed from. */
  readonly range?: string
  /** The resumption under whose point it was read; absent: the copy's own point. */
  readonly resumption?: number
  /** It read a part of the table again that an earlier chunk had read: only rows that may be newer. */
  readonly refresh?: true
}

/** The copy is whole and the stream has passed its point: the table may be loaded. */
export interface SnapshotFinishedEntry {
  readonly kind: 'snapshot_finished'
  readonly table_id: string
  readonly snapshot_id: number
  readonly rows: number
}

export interface ChangesEntry {
  readonly kind: 'changes'
  readonly table_id: string
  /** The snapshot these changes continue. */
  readonly snapshot_id: number
  readonly schema_version: number
  readonly file: StagedFile
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  /** The file has an `_absent` column. */
  readonly has_absent: boolean
  readonly min_sequence: string
  readonly max_sequence: string
  /**
   * The newest resumption of the copy whose point does not show these changes; absent: 0, none.
   * Every later point of the copy shows them.
   */
  readonly resumption?: number
}

export interface TruncateEntry {
  readonly kind: 'truncate'
  readonly table_id: string
  readonly snapshot_id: number
  /** As of `ChangesEntry`. */
  readonly resumption?: number
  readonly sequence: string
  readonly ordinal: number
  /** Microseconds since 1970, decimal; absent in logs of earlier versions. */
  readonly commit_time_us?: string
}

/**
 * The table's columns changed and its rows did not: what was staged of the snapshot with a smaller
 * schema version comes before, what has this version after it. Columns are the same by their id.
 */
export interface SchemaChangeEntry {
  readonly kind: 'schema_change'
  readonly table_id: string
  readonly snapshot_id: number
  /** Greater than any the snapshot had before. */
  readonly schema_version: number
  /** The place in the log; outside of a transaction: after all of the last one. */
  readonly sequence: string
  readonly ordinal: number
  /**
   * A file of one row: what rows from before have in added columns, under the names that the
   * columns have in this version. An added column that is not in it is NULL there.
   */
  readonly fill?: StagedFile
}

/** The table can not be continued from here; a new snapshot follows or a person has to act. */
export interface GapEntry {
  readonly kind: 'gap'
  readonly table_id: string
  readonly reason: string
  /** A person asked for a full refresh: destinations begin their history anew as well. */
  readonly full_refresh?: true
  /** The source has the table no more, or nobody asks for it: no copy follows by itself. */
  readonly gone?: true
}

export type ManifestEntry =
  | TableEntry
  | SnapshotStartedEntry
  | SnapshotResumedEntry
  | SnapshotChunkEntry
  | SnapshotFinishedEntry
  | ChangesEntry
  | TruncateEntry
  | SchemaChangeEntry
  | GapEntry

export interface Manifest {
  readonly format: 1
  readonly commit: CommitNumber
  /** Grows by one with every gateway that takes the volume over; a smaller one is fenced out. */
  readonly epoch: number
  /** Random per gateway process: tells our own lost acknowledgement from somebody else's commit. */
  readonly writer: string
  readonly created_at_ms: number
  readonly incarnation: string
  /** Opaque; equal when the commit moved nothing in the source's log. */
  readonly position_before: string
  readonly position_after: string
  /** Sequences of the transactions in this commit, decimal; absent when it holds none. */
  readonly first_sequence?: string
  readonly last_sequence?: string
  /** Microseconds since 1970, decimal; absent when it holds no transaction. */
  readonly min_commit_time_us?: string
  readonly max_commit_time_us?: string
  /** An update of a pipeline never goes past such a commit in one step (`verify` compares there). */
  readonly barrier?: true
  readonly entries: readonly ManifestEntry[]
}

/**
 * As in its file. With many tables the incarnation is a long text that hardly ever changes, so it is
 * left out where it is that of the manifest before (of the first: that of the log's base).
 */
export type StoredManifest = Omit<Manifest, 'incarnation'> & { readonly incarnation?: string }

/** What is to be done to one destination table, and what it is done with. */
import type { SteadyClock } from '../base/clock.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import type { Engine, EngineStatements } from '../engine/duckdb.ts'
import type {
  ChangesEntry,
  CommitNumber,
  SchemaChangeEntry,
  SnapshotChunkEntry,
  StagedFile,
  TruncateEntry,
} from '../staging/manifest.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { DestinationColumns } from './destination-columns.ts'
import type { DestinationIdentity } from './destination-state.ts'
import type { SchemaUpgrade } from './schema-upgrade.ts'

/**
 * `replaced`: the table begins anew. `continued`: what it holds stays, the copy is compared with it
 * and the changes on top follow. `compared`: it has met copy and changes before; only what comes out
 * of them is compared with it.
 */
export type HistoryPlan = 'replaced' | 'continued' | 'compared'

export interface TableCopyPoint {
  /** Microseconds since 1970. */
  readonly takenAtUs: bigint
  /** Above the sequence of every change before the copy, not above that of any change after it. */
  readonly sequence: bigint
}

/** Rows of a copy's chunks are superseded when they have a key that stands in this file. */
export interface SupersedingFile {
  readonly file: StagedFile
  /** Only rows of chunks with this or an earlier `resumption`. */
  readonly upTo: number
}

/** Staged entries of one copy of a table, all up to one staged commit. */
export interface TableWork {
  /** load: the copy replaces whatever the table holds. */
  readonly kind: 'load' | 'changes'
  readonly snapshotId: number
  /** Digest, see `configurationKeys.snapshotPoint`. */
  readonly snapshotPoint: string
  readonly schemaVersion: number
  readonly columns: DestinationColumns
  /**
   * What the table holds is of an earlier schema, and has to become rows of `columns`; only for
   * changes.
   */
  readonly evolution?: SchemaUpgrade
  /** Path of a staged file of an earlier schema → how its rows become rows of `columns.staged`. */
  readonly upgrades?: ReadonlyMap<string, SchemaUpgrade>
  /** A load: when the copy was taken, and where it stands among the changes. */
  readonly copy?: TableCopyPoint
  /** Of a load of a table that keeps what was before. */
  readonly history: HistoryPlan
  /** Only for a load; ascending. */
  readonly chunks: readonly SnapshotChunkEntry[]
  /**
   * Only for the load of a copy that was resumed. Whoever reads `chunks` leaves superseded rows out
   * (`superseded-rows.ts`).
   */
  readonly superseding?: readonly SupersedingFile[]
  /** As staged, ascending. For a load: on top of the chunks. */
  readonly steps: readonly (ChangesEntry | TruncateEntry | SchemaChangeEntry)[]
  /** Staged commit the table stands at when this was planned; undefined: not loaded. */
  readonly from: CommitNumber | undefined
  /** Staged commit the table is at afterwards. */
  readonly target: CommitNumber
  /** Tells the manifest of that commit from any other of its number; undefined: it is not known. */
  readonly targetSeal?: number | undefined
  /** What the commit tells about the source. */
  readonly source: {
    readonly position: string
    /** Source commit times of the applied transactions, microseconds since 1970. */
    readonly minCommitTimeUs?: string
    readonly maxCommitTimeUs?: string
  }
}

export interface TableTools {
  readonly identity: DestinationIdentity
  readonly table: DeltaTable
  /** Where rows go that do not fit, see quarantine.ts; made when there is the first one. */
  readonly quarantine: DeltaTable
  readonly engine: Engine
  readonly staging: ObjectStorage
  /** Throws STAGING_FILE_MISSING or STAGING_FILE_DAMAGED; remembers what it has looked at. */
  readonly verifyFile: (file: StagedFile) => Promise<void>
  readonly clock: SteadyClock
  readonly failpoints: Failpoints
  /** For `commitInfo.engineInfo`. */
  readonly productVersion: string
}

/** On one session of the engine: its temporary tables serve one attempt. */
export type SessionTools = Omit<TableTools, 'engine'> & { readonly engine: EngineStatements }

/**
 * What a purge leaves of the manifests it removed: where the log now begins and what was known of
 * each table there. It is the file `_log/_first` of a volume; field names are the file's own.
 */
import type {
  CommitNumber,
  GapEntry,
  SnapshotFinishedEntry,
  SnapshotStartedEntry,
  TableEntry,
} from './manifest.ts'

/** The newest purged state of one table. Its purged files are gone. */
export interface BaseTable {
  readonly table_id: string
  /**
   * Newest purged commit that staged anything of the table. Who has applied less has lost data and
   * needs a newer snapshot (a gap); who has applied as much has lost nothing.
   */
  readonly last_commit: CommitNumber
  /** At most one of each kind, in the order they were published. */
  readonly entries: readonly (
    | TableEntry
    | SnapshotStartedEntry
    | SnapshotFinishedEntry
    | GapEntry
  )[]
}

export interface LogBase {
  /** Number of the first manifest that counts; smaller ones are purged, present or not. */
  readonly first: CommitNumber
  /** Greatest sequence of the purged manifests, decimal; absent when they held no transaction. */
  readonly last_sequence?: string
  /** Of the last purged manifest; absent when a volume was last purged by an earlier version. */
  readonly incarnation?: string
  /** Ascending by table id. */
  readonly tables: readonly BaseTable[]
}

/** Of a volume that never was purged. */
export const emptyLogBase: LogBase = { first: 0, tables: [] }

/**
 * True when the purge removed data of the table that somebody who has applied up to `applied`
 * (undefined: nothing yet) never saw. Such a table goes on with a newer snapshot only.
 */
export function lostToPurge(
  base: LogBase,
  tableId: string,
  applied: CommitNumber | undefined,
): boolean {
  const table = base.tables.find((candidate) => candidate.table_id === tableId)
  return table !== undefined && (applied === undefined || applied < table.last_commit)
}

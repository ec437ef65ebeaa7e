/** The pipeline's view of a staging volume: manifests in order, schemas, files. Read only. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { LogBase } from './log-base.ts'
import type { CommitNumber, Manifest } from './manifest.ts'

export interface StagingReader {
  readonly storage: ObjectStorage
  /** All manifests present, ascending and dense; remembers what it has read and only fetches the new. */
  refresh(): Promise<readonly Manifest[]>
  readSchema(tableId: string, schemaVersion: number): Promise<TableSchema>
  /** Number of the first manifest that is still there (older ones were purged). */
  firstCommit(): CommitNumber
  /** What the purge left of older manifests, as of the last `refresh`. See `lostToPurge`. */
  base(): LogBase
}

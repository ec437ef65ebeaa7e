/** The door to one Delta table: its state at a version, and the one way to change it. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Action, AddFile, DomainMetadata, Metadata, Protocol, RemoveFile } from './actions.ts'

export type DeltaVersion = bigint & { readonly brand: 'DeltaVersion' }

/** State of a table at one version. Immutable. */
export interface DeltaSnapshot {
  readonly version: DeltaVersion
  readonly protocol: Protocol
  readonly metadata: Metadata
  /** Live logical files; key is `path` plus, when there is one, the deletion vector's unique id. */
  readonly files: ReadonlyMap<string, AddFile>
  /** Removed files still within retention. */
  readonly tombstones: ReadonlyMap<string, RemoveFile>
  /** Version of the latest `txn` action of an application; undefined when it has none. */
  readonly txnVersions: ReadonlyMap<string, number>
  readonly domains: ReadonlyMap<string, DomainMetadata>
  /** Commit timestamp, ms: `inCommitTimestamp` or the commit file's modification time. */
  readonly committedAtMs: number
}

export type CommitOutcome =
  | { readonly kind: 'committed'; readonly snapshot: DeltaSnapshot }
  /** Somebody else wrote that version; nothing of ours is visible. `snapshot` is the state now. */
  | {
      readonly kind: 'conflict'
      readonly snapshot: DeltaSnapshot
      readonly winners: readonly Action[]
    }

export interface DeltaTable {
  /** Root of the table inside `storage`, without a slash at the end. */
  readonly root: string
  readonly storage: ObjectStorage
  /** Latest version, or the one asked for; reads only what is new since the last call. undefined: no Delta log here. */
  snapshot(version?: DeltaVersion): Promise<DeltaSnapshot | undefined>
  /**
   * Writes `base.version + 1` (version 0 when `base` is undefined) as one put-if-absent.
   * Data files and deletion vectors the actions name must be durable before. A lost response is
   * told apart from a lost race by `commitInfo.txnId`. Checkpoints follow best effort after the
   * commit and never fail it. Throws DELTA_UNSUPPORTED_FEATURE when the table asks for a writer
   * feature we do not implement.
   */
  commit(base: DeltaSnapshot | undefined, actions: readonly Action[]): Promise<CommitOutcome>
  /** Resolves when nothing of this table is being written any more that a commit left for later. */
  settled(): Promise<void>
  /** Row positions (0-based, ascending) that a file's deletion vector marks. */
  readDeletionVector(file: AddFile): Promise<readonly bigint[] | BigUint64Array>
  /**
   * Writes one `.bin` holding a vector per entry (each the union the caller wants, ascending
   * positions) and returns the descriptors in order. Durable when it resolves.
   */
  writeDeletionVectors(
    vectors: readonly BigUint64Array[],
  ): Promise<readonly NonNullable<AddFile['deletionVector']>[]>
  /** Versions whose commit file exists, ascending, for time travel. */
  versions(): Promise<readonly DeltaVersion[]>
}

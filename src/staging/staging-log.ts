/**
 * The gateway's view of a staging volume: a log of manifests, data files, schemas.
 * Order of durability: data files are closed, then a manifest that names them is published, then
 * the source is acknowledged. A stop between any two loses and duplicates nothing: files without a
 * manifest are removed by the next gateway, and what was not acknowledged is read again.
 */
import type { Clock } from '../base/clock.ts'
import { asSluiceError } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { ParquetColumn, ParquetEncoder } from '../columnar/parquet-encoder.ts'
import type { Log } from '../observe/log.ts'
import type { TableId, TableSchema } from '../source/table-schema.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { CheckpointFold } from './checkpoint.ts'
import { CheckpointWriter } from './checkpoint-writer.ts'
import type { LogBase } from './log-base.ts'
import type { CommitNumber, Manifest, StagedFile } from './manifest.ts'
import { NamedFiles, removeOrphans } from './orphans.ts'
import { publishManifest } from './publish-manifest.ts'
import { type LogSink, tellLog } from './read-log.ts'
import type { RecoveredLog } from './recovered-log.ts'
import { manifestOf, StagingLogWriter, type TakenLog } from './staging-log-writer.ts'
import { onVolume } from './volume-error.ts'

/** What the gateway fills in; number, epoch, writer and time are the log's. */
export type ManifestDraft = Pick<
  Manifest,
  'incarnation' | 'position_before' | 'position_after' | 'entries'
> &
  Partial<
    Pick<
      Manifest,
      'first_sequence' | 'last_sequence' | 'min_commit_time_us' | 'max_commit_time_us' | 'barrier'
    >
  >

export interface StagingLog {
  /**
   * What the log says of its past up to the newest manifest, which is the one that took the volume
   * over, or a later one; goes on with every publish.
   */
  readonly recovered: RecoveredLog
  /** Of this gateway, from 1; part of the name of every data file it writes. */
  readonly epoch: number
  /**
   * Durable and visible when it resolves. Calls do not overlap. Hits the failpoints
   * `staging.data-durable` before and `staging.manifest-published` after the commit point.
   * After STORAGE_FULL it may be called again. Throws STAGING_FENCED when another gateway took
   * over, now and ever after.
   */
  publish(draft: ManifestDraft): Promise<Manifest>
  /** Writes `tables/<id>/schema-<n>.json` (put-if-absent; an equal one is fine, a different one throws STAGING_SCHEMA_CONFLICT). */
  writeSchema(tableId: TableId, schemaVersion: number, schema: TableSchema): Promise<void>
  readSchema(tableId: string, schemaVersion: number): Promise<TableSchema>
  /**
   * A data file being written; durable at close, visible once a manifest names it. `path` comes
   * from `changeFilePath` or `snapshotFilePath` with this log's epoch.
   */
  openDataFile(path: string, columns: readonly ParquetColumn[]): Promise<StagedFileWriter>
  close(): Promise<void>
}

export interface StagedFileWriter {
  readonly path: string
  /**
   * Encodes and appends one row group; calls do not overlap. Bytes of the file so far. The batch is
   * the writer's from now on: when this resolves, its buffers may be in use for other rows.
   */
  write(batch: ColumnBatch): Promise<number>
  /** Durable; what the manifest says about the file. */
  close(): Promise<StagedFile>
  /** Forgets the file. Safe to call after a failure; does nothing after `close`. */
  abort(): Promise<void>
}

export interface StagingLogOptions {
  readonly storage: ObjectStorage
  /** Random per gateway process. */
  readonly writer: string
  readonly createEncoder: (columns: readonly ParquetColumn[]) => ParquetEncoder
  readonly clock: Clock
  readonly log: Log
  readonly failpoints: Failpoints
  /** Commits from one checkpoint of the log to the next; `defaultCheckpointCommits` unless given. */
  readonly checkpointCommits?: number
}

/**
 * Takes the volume over: reads the log, from a checkpoint on where one fits, publishes an empty manifest with the next epoch, and
 * removes data files of earlier gateways that no manifest names. Hits `staging.epoch-claimed`
 * between the two. That removal may fail without harm. Throws STAGING_LOG_GAP, STAGING_MANIFEST_UNREADABLE and STORAGE_*.
 */
export async function openStagingLog(options: StagingLogOptions): Promise<StagingLog> {
  const { storage, log, failpoints } = options
  const { taken, named, base, checkpoint } = await claimEpoch(options).catch((error: unknown) => {
    throw onVolume(storage, error)
  })
  const { epoch, commit: lastCommit } = taken.last
  failpoints.hit('staging.epoch-claimed')
  const removing = { storage, named, epoch, tableIds: taken.fold.recovered.tables().keys() }
  const removedFiles = await removeOrphans(removing).catch((error: unknown) => {
    // They are in nobody's way; the next gateway tries again.
    const { code, message } = asSluiceError(onVolume(storage, error))
    log.warn('unpublished files were not removed', { code, reason: message })
    return 0
  })
  const volume = storage.url
  const { first: firstCommit } = base
  const told = { volume, epoch, firstCommit, lastCommit, removedFiles }
  log.info('staging volume taken over', checkpoint === undefined ? told : { ...told, checkpoint })
  const checkpoints = new CheckpointWriter(taken.fold, options)
  // Whoever reads the log next, in this process too, has less to read.
  checkpoints.writeIfDue(taken.last, taken.seal)
  await checkpoints.settled()
  return new StagingLogWriter({ ...taken, checkpoints }, options)
}

interface Claim {
  readonly taken: Omit<TakenLog, 'checkpoints'>
  readonly named: NamedFiles
  readonly base: LogBase
  /** Newest commit of the one from which the log was read; undefined: it was read whole. */
  readonly checkpoint: CommitNumber | undefined
}

/** Every lost race shows somebody else's manifest, so that the next attempt begins further on. */
async function claimEpoch(options: StagingLogOptions): Promise<Claim> {
  const { storage, writer, clock } = options
  const fold = new CheckpointFold()
  const named = new NamedFiles()
  let checkpoint: CommitNumber | undefined
  const sink: Required<LogSink> = {
    begin(base) {
      fold.begin(base)
      named.begin()
      checkpoint = undefined
    },
    resume(from, base) {
      fold.resume(from, base)
      named.resume(from)
      checkpoint = from.commit
    },
    take(manifest) {
      fold.take(manifest)
      named.take(manifest)
    },
  }
  let { base, last } = await tellLog(storage, sink)
  for (;;) {
    const position = last?.position_after ?? ''
    const claim = manifestOf(
      {
        incarnation: last?.incarnation ?? '',
        position_before: position,
        position_after: position,
        entries: [],
      },
      {
        commit: (last?.commit ?? -1) + 1,
        epoch: (last?.epoch ?? 0) + 1,
        writer,
        nowMs: clock.nowMs(),
      },
    )
    const outcome = await publishManifest(storage, claim, last)
    last = outcome.manifest
    sink.take(last)
    if (outcome.kind === 'published') {
      return { taken: { last, seal: outcome.seal, fold }, named, base, checkpoint }
    }
  }
}

/** The log of a volume in the hands of the gateway that holds it. */
import { SluiceError } from '../base/errors.ts'
import type { ParquetColumn } from '../columnar/parquet-encoder.ts'
import type { TableId, TableSchema } from '../source/table-schema.ts'
import type { CheckpointFold } from './checkpoint.ts'
import type { CheckpointWriter } from './checkpoint-writer.ts'
import { parseDataFilePath, schemaPath } from './layout.ts'
import { manifestFormat } from './manifest-codec.ts'
import type { Manifest } from './manifest.ts'
import { publishManifest } from './publish-manifest.ts'
import type { RecoveredLog } from './recovered-log.ts'
import { readSchemaFile, writeSchemaFile } from './schema-files.ts'
import { openStagedFile } from './staged-file-writer.ts'
import type {
  ManifestDraft,
  StagedFileWriter,
  StagingLog,
  StagingLogOptions,
} from './staging-log.ts'
import { onVolume } from './volume-error.ts'

/** A log that was read and taken over. */
export interface TakenLog {
  /** The manifest that took the volume over, and the seal of its file. */
  readonly last: Manifest
  readonly seal: number
  /** Was told everything. */
  readonly fold: CheckpointFold
  readonly checkpoints: CheckpointWriter
}

export class StagingLogWriter implements StagingLog {
  readonly epoch: number
  readonly #fold: CheckpointFold
  readonly #checkpoints: CheckpointWriter
  #last: Manifest
  readonly #options: StagingLogOptions
  /** Why nothing may be written any more. */
  #ended: SluiceError | undefined
  #isPublishing = false

  constructor({ last, fold, checkpoints }: TakenLog, options: StagingLogOptions) {
    this.#fold = fold
    this.#checkpoints = checkpoints
    this.epoch = last.epoch
    this.#last = last
    this.#options = options
  }

  get recovered(): RecoveredLog {
    return this.#fold.recovered
  }

  async publish(draft: ManifestDraft): Promise<Manifest> {
    this.#assertOpen()
    if (this.#isPublishing) throw new SluiceError('INTERNAL_ERROR', 'two publishes at once')
    this.#isPublishing = true
    try {
      return await this.#publish(draft)
    } catch (error) {
      throw onVolume(this.#options.storage, error)
    } finally {
      this.#isPublishing = false
    }
  }

  async #publish(draft: ManifestDraft): Promise<Manifest> {
    const { storage, writer, clock, failpoints } = this.#options
    failpoints.hit('staging.data-durable')
    const last = this.#last
    const manifest = manifestOf(draft, {
      commit: last.commit + 1,
      epoch: this.epoch,
      writer,
      nowMs: clock.nowMs(),
    })
    const outcome = await publishManifest(storage, manifest, last)
    if (outcome.kind === 'taken') throw this.#end(lostRace(manifest, outcome.manifest, storage.url))
    this.#last = outcome.manifest
    this.#fold.take(outcome.manifest)
    failpoints.hit('staging.manifest-published')
    this.#checkpoints.published(outcome.manifest, outcome.seal)
    return outcome.manifest
  }

  async writeSchema(tableId: TableId, schemaVersion: number, schema: TableSchema): Promise<void> {
    this.#assertOpen()
    const { storage } = this.#options
    try {
      await writeSchemaFile(storage, schemaPath(tableId, schemaVersion), schema)
    } catch (error) {
      throw onVolume(storage, error)
    }
  }

  readSchema(tableId: string, schemaVersion: number): Promise<TableSchema> {
    return readSchemaFile(this.#options.storage, tableId, schemaVersion)
  }

  async openDataFile(path: string, columns: readonly ParquetColumn[]): Promise<StagedFileWriter> {
    this.#assertOpen()
    // The epoch in the name is how a later gateway knows that an unnamed file is nobody's.
    if (parseDataFilePath(path)?.epoch !== this.epoch) {
      const text = `${JSON.stringify(path)} is not a data file of epoch ${this.epoch}`
      throw new SluiceError('INTERNAL_ERROR', text)
    }
    const { storage, createEncoder } = this.#options
    return openStagedFile({ storage, path, encoder: createEncoder(columns) })
  }

  async close(): Promise<void> {
    this.#ended ??= new SluiceError('INTERNAL_ERROR', 'the staging log is closed')
    await this.#checkpoints.settled()
  }

  #assertOpen(): void {
    if (this.#ended !== undefined) throw this.#ended
  }

  #end(error: SluiceError): SluiceError {
    this.#ended = error
    return error
  }
}

export type ManifestHead = Pick<Manifest, 'commit' | 'epoch' | 'writer'> & {
  readonly nowMs: number
}

/** Members in the order the file has them. */
export function manifestOf(draft: ManifestDraft, { nowMs, ...head }: ManifestHead): Manifest {
  const { incarnation, position_before, position_after, entries, ...optional } = draft
  return {
    format: manifestFormat,
    ...head,
    created_at_ms: Math.max(0, Math.floor(nowMs)),
    incarnation,
    position_before,
    position_after,
    ...optional,
    entries,
  }
}

function lostRace(ours: Manifest, found: Manifest, url: string): SluiceError {
  if (found.writer === ours.writer) {
    const text = `staged commit ${ours.commit} of ${url} is visible with the content of an earlier attempt`
    return new SluiceError('STAGING_PUBLISH_UNSETTLED', text)
  }
  const text = `the staging volume ${url} was taken over by a gateway with epoch ${found.epoch}; this one has ${ours.epoch}`
  return new SluiceError('STAGING_FENCED', text)
}

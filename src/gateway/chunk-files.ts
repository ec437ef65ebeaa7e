/** Rows of one snapshot chunk → staged files of bounded size: the table's columns and, where needed, `_unfit`. */
import { createColumnBuilder, finishBatch, type ColumnBuilder } from '../columnar/column-builder.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { SnapshotSink } from '../source/change-sink.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { StagedFile } from '../staging/manifest.ts'
import type { StagedFileWriter, StagingLog } from '../staging/staging-log.ts'
import { snapshotFileColumns, tableColumns, unfitColumn } from './change-columns.ts'
import { RowSize } from './row-size.ts'
import { emptyColumn, unfitCells } from './unfit-cells.ts'

export interface ChunkFilesOptions {
  readonly staging: Pick<StagingLog, 'openDataFile'>
  readonly schema: TableSchema
  /** Of an earlier chunk of the same table that is finished: they know how large batches become. */
  readonly columns?: readonly ColumnBuilder[] | undefined
  /** Rows in memory: a third being filled, the rest being written. */
  readonly bufferBytes: number
  /** Input after which a file is closed. */
  readonly fileBytes: number
  /** A path no other file has. */
  readonly nextPath: () => string
  /** Told of rows and input bytes as they are handed over for writing. */
  readonly onProgress: (rows: number, bytes: number) => void
  /** Told of bytes as they are decoded; defined when reading is to pause. */
  readonly throttle?: (bytes: number) => Promise<void> | undefined
}

export class ChunkFiles implements SnapshotSink {
  readonly columns: readonly ColumnBuilder[]
  readonly #options: ChunkFilesOptions
  readonly #size: RowSize
  readonly #fullBytes: number
  #rowCount = 0
  #writingBytes = 0
  #work: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined
  #paused: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  #writer: StagedFileWriter | undefined
  #hasUnfit = false
  #inputBytes = 0
  /** Handed over for writing, and told to the throttle. */
  #flushedBytes = 0
  #countedBytes = 0
  readonly #files: StagedFile[] = []

  constructor(options: ChunkFilesOptions) {
    this.#options = options
    this.columns =
      options.columns ??
      tableColumns(options.schema).map(({ name, type }) => createColumnBuilder(name, type))
    this.#size = new RowSize(this.columns)
    this.#fullBytes = Math.floor(options.bufferBytes / 3)
  }

  startRow(): void {
    // Nothing to note: every row of a copy is an `r`.
  }

  endRow(): void {
    this.#rowCount++
    if (this.#size.bytes(this.#rowCount) >= this.#fullBytes) this.#flush()
  }

  pressure(): Promise<void> | undefined {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error as Error)
    const rest = this.#rest()
    if (!this.#isFull()) return rest
    const written = new Promise<void>((resolve, reject) => this.#paused.push({ resolve, reject }))
    return rest === undefined ? written : written.then(async () => await rest)
  }

  /** Counts what was decoded since the last call. */
  #rest(): Promise<void> | undefined {
    const bytes = this.#flushedBytes + this.#size.bytes(this.#rowCount)
    const fresh = bytes - this.#countedBytes
    this.#countedBytes = bytes
    return this.#options.throttle?.(fresh)
  }

  /**
   * Durable files of all rows, in order; none when there were no rows. `onNearlyWritten` is called
   * when no more than the last rows, a third of the buffer, is in memory.
   */
  async finish(onNearlyWritten?: () => void): Promise<readonly StagedFile[]> {
    // Also what came last, after which nobody asked.
    await this.#rest()
    const before = this.#work
    if (this.#rowCount > 0) this.#flush()
    await before
    onNearlyWritten?.()
    await this.#work
    if (this.#failure !== undefined) throw this.#failure.error
    await this.#closeFile()
    return this.#files
  }

  async abort(): Promise<void> {
    this.#failure ??= { error: new Error('the chunk was given up') }
    await this.#work
    await this.#writer?.abort()
  }

  #isFull(): boolean {
    const held = this.#size.bytes(this.#rowCount) + this.#writingBytes
    return held + this.#fullBytes >= this.#options.bufferBytes
  }

  #flush(): void {
    const batch = finishBatch(this.columns)
    this.#rowCount = 0
    this.#writingBytes += batch.byteLength
    this.#flushedBytes += batch.byteLength
    this.#options.onProgress(batch.rowCount, batch.byteLength)
    this.#work = this.#work.then(() => this.#write(batch))
  }

  async #write(batch: ColumnBatch): Promise<void> {
    try {
      if (this.#failure === undefined) await this.#append(batch)
      this.#writingBytes -= batch.byteLength
      if (!this.#isFull()) for (const { resolve } of this.#paused.splice(0)) resolve()
    } catch (error) {
      this.#failure = { error }
      for (const { reject } of this.#paused.splice(0)) reject(error)
    }
  }

  async #append(batch: ColumnBatch): Promise<void> {
    const { staging, schema, nextPath, fileBytes } = this.#options
    const unfit = unfitCells(batch.columns, batch.rowCount)
    if (unfit !== undefined && !this.#hasUnfit) await this.#closeFile()
    if (this.#writer === undefined) this.#hasUnfit = unfit !== undefined
    const columns = snapshotFileColumns(schema, this.#hasUnfit)
    this.#writer ??= await staging.openDataFile(nextPath(), columns)
    const last = this.#hasUnfit ? [unfit ?? emptyColumn(unfitColumn, batch.rowCount)] : []
    await this.#writer.write({ ...batch, columns: [...batch.columns, ...last] })
    this.#inputBytes += batch.byteLength
    if (this.#inputBytes >= fileBytes) await this.#closeFile()
  }

  async #closeFile(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    this.#inputBytes = 0
    if (writer !== undefined) this.#files.push(await writer.close())
  }
}

/** Writes one data file: batches in, a durable Parquet file and what the manifest says of it out. */
import { crc32 } from 'node:zlib'
import { releaseBatch } from '../columnar/column-builder.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import { releaseCompressed } from '../columnar/parquet/compress.ts'
import type { ParquetEncoder } from '../columnar/parquet-encoder.ts'
import type { ObjectStorage, ObjectWriter } from '../storage/object-storage.ts'
import { parseDataFilePath } from './layout.ts'
import type { StagedFile } from './manifest.ts'
import type { StagedFileWriter } from './staging-log.ts'
import { onVolume } from './volume-error.ts'

export interface StagedFileOptions {
  readonly storage: ObjectStorage
  readonly path: string
  readonly encoder: ParquetEncoder
}

export async function openStagedFile(options: StagedFileOptions): Promise<StagedFileWriter> {
  const { storage, path, encoder } = options
  try {
    return new ParquetFileWriter(options, await storage.openWriter(path), encoder)
  } catch (error) {
    throw onVolume(storage, error)
  }
}

/** Always the last one of a file that has it. */
const unfitColumnName = '_unfit'

class ParquetFileWriter implements StagedFileWriter {
  readonly path: string
  readonly #storage: ObjectStorage
  readonly #writer: ObjectWriter
  readonly #encoder: ParquetEncoder
  /**
   * Only snapshot files become files of a destination table as they are; for change files nobody
   * asks, and statistics are what would make most of the log's size.
   */
  readonly #isSnapshot: boolean
  #bytes = 0
  #crc32 = 0
  #rows = 0
  /** undefined: the file has no column for them. */
  #unfitCells: number | undefined

  constructor(options: StagedFileOptions, writer: ObjectWriter, encoder: ParquetEncoder) {
    this.path = options.path
    this.#storage = options.storage
    this.#writer = writer
    this.#encoder = encoder
    this.#isSnapshot = parseDataFilePath(options.path)?.kind === 'snapshot'
  }

  async write(batch: ColumnBatch): Promise<number> {
    return this.#step(async () => {
      await this.#append(await this.#encoder.encodeRowGroup(batch))
      this.#rows += batch.rowCount
      this.#countUnfit(batch)
      releaseBatch(batch)
      return this.#bytes
    })
  }

  async close(): Promise<StagedFile> {
    return this.#step(async () => {
      const { bytes, statistics } = this.#encoder.finish()
      await this.#append([bytes])
      await this.#writer.close()
      return {
        path: this.path,
        rows: this.#rows,
        bytes: this.#bytes,
        crc32: this.#crc32,
        ...(this.#unfitCells === undefined ? {} : { unfit_cells: this.#unfitCells }),
        ...(this.#isSnapshot ? { statistics } : {}),
      }
    })
  }

  #countUnfit(batch: ColumnBatch): void {
    if (batch.columns.at(-1)?.name !== unfitColumnName) return
    this.#unfitCells ??= 0
    for (const { unfit } of batch.columns) this.#unfitCells += unfit?.rows.length ?? 0
  }

  async abort(): Promise<void> {
    await this.#writer.abort()
  }

  async #append(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      this.#crc32 = crc32(piece, this.#crc32)
      this.#bytes += piece.byteLength
    }
    await this.#writer.write(pieces)
    releaseCompressed(pieces)
  }

  /** A file with a failed step is of no use: its bytes go at once, not only when somebody aborts. */
  async #step<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      await this.#writer.abort().catch(() => undefined)
      throw onVolume(this.#storage, error)
    }
  }
}

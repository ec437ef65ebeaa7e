/** The seam of the Parquet encoder: batches in, bytes of one file out. */
import type { CanonicalType } from './canonical-type.ts'
import type { ColumnBatch } from './column-batch.ts'
import type { FileStatistics } from './column-statistics.ts'

export interface ParquetColumn {
  readonly name: string
  readonly type: CanonicalType
}

/**
 * Encodes one file, one row group per batch. Bytes are to be written in the order they are
 * returned. `absent` cells are encoded as NULL: a writer that needs the difference stores it in a
 * column of its own. Calls do not overlap.
 */
export interface ParquetEncoder {
  encodeRowGroup(batch: ColumnBatch): Promise<readonly Uint8Array[]>
  /** Footer bytes and the statistics of the whole file. */
  finish(): { readonly bytes: Uint8Array; readonly statistics: FileStatistics }
}

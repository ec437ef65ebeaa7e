/** Whole Parquet files from cells. */
import type { FileStatistics } from '../../src/columnar/column-statistics.ts'
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import type { ParquetColumn } from '../../src/columnar/parquet-encoder.ts'
import { batchOf, type Cell } from './cells.ts'

export interface TestColumn extends ParquetColumn {
  readonly cells: readonly Cell[]
}

/** `columns` are needed only when there is no row group. */
export async function encodeFile(
  rowGroups: readonly (readonly TestColumn[])[],
  columns: readonly ParquetColumn[] = rowGroups[0] ?? [],
): Promise<{ readonly bytes: Buffer; readonly statistics: FileStatistics }> {
  const encoder = createParquetEncoder(columns.map(({ name, type }) => ({ name, type })))
  const parts: Uint8Array[] = []
  for (const group of rowGroups) parts.push(...(await encoder.encodeRowGroup(batchOf(group))))
  const { bytes, statistics } = encoder.finish()
  return { bytes: Buffer.concat([...parts, bytes]), statistics }
}

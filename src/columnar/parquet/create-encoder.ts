/** The Parquet encoder: batches in, the bytes of one file out. */
import type { ColumnBatch } from '../column-batch.ts'
import type { ColumnStatistics } from '../column-statistics.ts'
import type { ParquetColumn, ParquetEncoder } from '../parquet-encoder.ts'
import { encodeColumnChunk, type ChunkFacts } from './column-chunk.ts'
import { mergeExtremes, noExtremes, type Extremes } from './extremes.ts'
import { encodeFooter, type RowGroup } from './footer.ts'
import { magic } from './format.ts'
import { leafColumnOf } from './schema-element.ts'
import { textExtremes } from './statistics-text.ts'

const defaultZstdLevel = 1

export interface ParquetEncoderOptions {
  /** 1 (default) to 22. */
  readonly zstdLevel?: number
}

/**
 * An encoder for one file with these columns. Batches must have the same columns in the same
 * order; a batch without rows adds nothing to the file.
 */
export function createParquetEncoder(
  columns: readonly ParquetColumn[],
  options: ParquetEncoderOptions = {},
): ParquetEncoder {
  const zstdLevel = options.zstdLevel ?? defaultZstdLevel
  const leaves = columns.map(leafColumnOf)
  const rowGroups: RowGroup[] = []
  const totals = columns.map((): ColumnTotal => ({ nullCount: 0, extremes: noExtremes }))
  let offset = 0

  return {
    async encodeRowGroup(batch) {
      assertColumns(columns, batch)
      if (batch.rowCount === 0) return []
      const chunks = await Promise.all(
        batch.columns.map((column, at) => {
          const leaf = leaves[at]
          if (leaf === undefined) throw new Error(`no leaf for column ${at}`)
          return encodeColumnChunk(column, leaf, zstdLevel)
        }),
      )
      const head = offset === 0 ? [magic] : []
      if (offset === 0) offset = magic.length
      const facts = chunks.map((chunk) => chunk.facts)
      rowGroups.push({ offset, rowCount: batch.rowCount, chunks: facts })
      addTotals(totals, batch, facts)
      for (const chunk of facts) offset += chunk.compressedBytes
      return [...head, ...chunks.flatMap((chunk) => chunk.parts)]
    },

    finish() {
      const footer = encodeFooter(columns, rowGroups)
      const bytes = offset === 0 ? Buffer.concat([magic, footer]) : footer
      const rowCount = rowGroups.reduce((sum, group) => sum + group.rowCount, 0)
      const statistics = columns.map((column, at) => columnStatistics(column, totals[at]))
      return { bytes, statistics: { rowCount, columns: statistics } }
    },
  }
}

/** Running facts of one column of the file. */
interface ColumnTotal {
  nullCount: number
  extremes: Extremes
}

function addTotals(
  totals: readonly ColumnTotal[],
  batch: ColumnBatch,
  chunks: readonly ChunkFacts[],
): void {
  for (const [at, total] of totals.entries()) {
    const column = batch.columns[at]
    const chunk = chunks[at]
    if (column === undefined || chunk === undefined) continue
    total.nullCount += column.nullCount + column.absentCount
    total.extremes = mergeExtremes(total.extremes, chunk.extremes)
  }
}

function columnStatistics({ name, type }: ParquetColumn, total?: ColumnTotal): ColumnStatistics {
  const nullCount = total?.nullCount ?? 0
  if (type.kind === 'array' || total === undefined) return { name, nullCount }
  return { name, nullCount, ...textExtremes(type, total.extremes) }
}

/** A batch of another shape is a defect of the caller, and would make an unreadable file. */
function assertColumns(columns: readonly ParquetColumn[], batch: ColumnBatch): void {
  if (columns.length !== batch.columns.length) {
    throw new Error(`batch has ${batch.columns.length} columns, the file ${columns.length}`)
  }
  for (const [at, { name, type }] of columns.entries()) {
    const column = batch.columns[at]
    if (column?.name !== name || column.type.kind !== type.kind) {
      throw new Error(
        `column ${at} is ${column?.name} (${column?.type.kind}) in the batch, ${name} (${type.kind}) in the file`,
      )
    }
    if (column.rowCount !== batch.rowCount) {
      throw new Error(`column ${name} has ${column.rowCount} rows, the batch ${batch.rowCount}`)
    }
  }
}

/** New data files: rows of a query → Parquet → the table's storage, with statistics for the log. */
import { randomUUID } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { ColumnStatistics, FileStatistics } from '../columnar/column-statistics.ts'
import { lowerBound, upperBound } from '../columnar/parquet/text-bounds.ts'
import type { AddFile } from '../delta/actions.ts'
import { encodeDataPath } from '../delta/data-path.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import { deltaStatsJson } from '../delta/statistics.ts'
import type { DeltaColumn } from '../delta/table-schema.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier, quoteText } from '../engine/quote.ts'
import { inTable } from './data-path.ts'

export interface DataFileWriter {
  readonly engine: EngineStatements
  readonly table: DeltaTable
  /** Of the table, in order; `select` gives exactly these. */
  readonly columns: readonly DeltaColumn[]
  readonly clock: Clock
}

/** A file of a large result is closed once it has about this many bytes. */
const targetFileBytes = 256 * 2 ** 20
const uploadBytes = 4 * 2 ** 20
/**
 * Every thread that writes holds a few row groups, and so do the rows that are kept in order:
 * with the engine's own 122 880 rows, millions of changes do not fit its memory.
 */
const rowGroupRows = 20_480

/** A new name for a data file, relative to the table's root. */
export function newDataFileName(): string {
  return `part-${randomUUID()}.zstd.parquet`
}

/**
 * Writes the rows of `select`, durably, and returns one entry per file; none when there are no
 * rows. `isLarge`: the result may need more than one file.
 */
export async function writeDataFiles(
  writer: DataFileWriter,
  select: string,
  isLarge: boolean,
): Promise<AddFile[]> {
  const target = join(writer.engine.temporaryFolder, randomUUID())
  if (isLarge) await mkdir(target)
  const options = ['FORMAT parquet', 'COMPRESSION zstd', 'COMPRESSION_LEVEL 1', 'RETURN_STATS']
  options.push(`ROW_GROUP_SIZE ${rowGroupRows}`)
  // Its dictionaries hold -0 and 0 as one value.
  if (writer.columns.some(hasFloats)) options.push('DICTIONARY_SIZE_LIMIT 0')
  if (isLarge) options.push(`FILE_SIZE_BYTES ${targetFileBytes}`, "FILENAME_PATTERN '{uuid}'")
  try {
    const written = await writer.engine.rows(
      `COPY (${select}) TO ${quoteText(target)} (${options.join(', ')})`,
    )
    const added: AddFile[] = []
    for (const row of written) {
      const statistics = readCopyStatistics(row, writer.columns)
      if (statistics.rowCount === 0) continue
      const name = newDataFileName()
      const size = await upload(String(row['filename']), writer.table, name)
      added.push(addFile(name, size, { statistics, columns: writer.columns, clock: writer.clock }))
    }
    return added
  } finally {
    // One file is removed with one call, a folder with many.
    await rm(target, { recursive: isLarge, force: true })
  }
}

function hasFloats({ type }: DeltaColumn): boolean {
  const { kind } = type.kind === 'array' ? type.element : type
  return kind === 'float32' || kind === 'float64'
}

function addFile(
  name: string,
  size: number,
  options: {
    readonly statistics: FileStatistics
    readonly columns: readonly DeltaColumn[]
    readonly clock: Clock
  },
): AddFile {
  return {
    path: encodeDataPath(name),
    partitionValues: {},
    size,
    modificationTime: options.clock.nowMs(),
    dataChange: true,
    stats: deltaStatsJson(options.statistics, options.columns),
  }
}

async function upload(file: string, table: DeltaTable, name: string): Promise<number> {
  const handle = await open(file, 'r')
  const target = await table.storage.openWriter(inTable(table, name))
  try {
    // One piece for all: large buffers that live for a moment keep the garbage collector busy.
    const { size } = await handle.stat()
    const piece = Buffer.allocUnsafe(Math.max(1, Math.min(size, uploadBytes)))
    for (;;) {
      const { bytesRead } = await handle.read(piece)
      if (bytesRead === 0) break
      await target.write(piece.subarray(0, bytesRead))
    }
    return await target.close()
  } catch (error) {
    await target.abort()
    throw error
  } finally {
    await handle.close()
  }
}

/** One row of COPY … RETURN_STATS: per leaf column a map of texts, under its quoted name. */
function readCopyStatistics(
  row: Readonly<Record<string, unknown>>,
  columns: readonly DeltaColumn[],
): FileStatistics {
  const leaves = textMap(row['column_statistics'])
  const statistics = columns.map(({ name, type }): ColumnStatistics => {
    const leaf = textMap(leaves.get(quoteIdentifier(name)))
    const nullCount = Number(leaf.get('null_count') ?? 0)
    if (type.kind === 'array' || leaf.get('has_nan') === 'true') return { name, nullCount }
    const min = boundText(leaf.get('min'), type, 'min')
    const max = boundText(leaf.get('max'), type, 'max')
    return { name, nullCount, ...(min !== undefined && { min }), ...(max !== undefined && { max }) }
  })
  return { rowCount: Number(row['count']), columns: statistics }
}

function textMap(value: unknown): ReadonlyMap<unknown, unknown> {
  return new Map(Array.isArray(value) ? (value as [unknown, unknown][]) : [])
}

/** The engine's spelling of a bound as that of `ColumnStatistics`; undefined when it has none. */
function boundText(text: unknown, type: CanonicalType, side: 'min' | 'max'): string | undefined {
  if (typeof text !== 'string') return undefined
  switch (type.kind) {
    case 'boolean':
    case 'binary':
    case 'array':
      return undefined
    case 'string':
      return (side === 'min' ? lowerBound(text) : upperBound(text))?.text
    case 'float32':
    case 'float64':
      return Number.isFinite(Number(text)) ? text : undefined
    case 'timestamp':
    case 'timestamp_ntz':
      return timestampText(text)
    default:
      return text
  }
}

const engineTimestamp = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(?:\+00)?$/

/** Six fraction digits and a `T`; undefined for years that four digits can not say. */
export function timestampText(text: string): string | undefined {
  const match = engineTimestamp.exec(text)
  return match === null ? undefined : `${match[1]}T${match[2]}.${(match[3] ?? '').padEnd(6, '0')}`
}

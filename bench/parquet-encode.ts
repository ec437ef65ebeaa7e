/**
 * Speed of the Parquet encoder alone, with zstd: batches of 12 mixed columns that are ready in
 * memory become bytes that nobody writes.
 */
import type { CanonicalType } from '../src/columnar/canonical-type.ts'
import type { ColumnBatch } from '../src/columnar/column-batch.ts'
import {
  BooleanBuilder,
  BytesBuilder,
  createColumnBuilder,
  finishBatch,
  Int32Builder,
  Int64Builder,
  type ColumnBuilder,
} from '../src/columnar/column-builder.ts'
import { createParquetEncoder } from '../src/columnar/parquet/create-encoder.ts'
import type { BenchOptions, Measurement } from './support/measure.ts'

const rowsPerBatch = 100_000

export interface ParquetEncodeResult {
  readonly name: string
  /** Rows per second of wall time. */
  readonly rowsPerSecond: number
  /** Rows per second of CPU time on the main thread: the limit when compression has cores to use. */
  readonly rowsPerMainThreadSecond: number
  /** CPU seconds of all threads per million rows. */
  readonly cpuSecondsPerMillionRows: number
  readonly bytesPerRow: number
}

export interface ParquetEncodeOptions {
  readonly zstdLevel?: number
  /** Rounded up to whole batches. */
  readonly rows?: number
  readonly rounds?: number
}

/** Median round by wall time, after one to warm up. */
export async function benchParquetEncode(
  options: ParquetEncodeOptions = {},
): Promise<ParquetEncodeResult> {
  const { zstdLevel = 1, rows = 1_000_000, rounds = 5 } = options
  const batch = mixedBatch()
  const batchCount = Math.ceil(rows / rowsPerBatch)
  const results: ParquetEncodeResult[] = []
  for (let round = 0; round <= rounds; round++) {
    const result = await measure(batch, batchCount, zstdLevel)
    if (round > 0) results.push(result)
  }
  results.sort((a, b) => a.rowsPerSecond - b.rowsPerSecond)
  return results[rounds >> 1] as ParquetEncodeResult
}

async function measure(
  batch: ColumnBatch,
  batchCount: number,
  zstdLevel: number,
): Promise<ParquetEncodeResult> {
  const encoder = createParquetEncoder(batch.columns, { zstdLevel })
  let bytes = 0
  const startedAtMs = performance.now()
  const threadBefore = process.threadCpuUsage()
  const processBefore = process.cpuUsage()
  for (let count = 0; count < batchCount; count++) {
    for (const part of await encoder.encodeRowGroup(batch)) bytes += part.length
  }
  bytes += encoder.finish().bytes.length
  const thread = process.threadCpuUsage(threadBefore)
  const all = process.cpuUsage(processBefore)
  const seconds = (performance.now() - startedAtMs) / 1000
  const rows = rowsPerBatch * batchCount
  return {
    name: `parquet encode, 12 columns, zstd ${zstdLevel}`,
    rowsPerSecond: rows / seconds,
    rowsPerMainThreadSecond: rows / ((thread.user + thread.system) / 1e6),
    cpuSecondsPerMillionRows: (all.user + all.system) / rows,
    bytesPerRow: bytes / rows,
  }
}

const columns: readonly { name: string; type: CanonicalType; nullEvery?: number }[] = [
  { name: 'id', type: { kind: 'int64' } },
  { name: 'customer', type: { kind: 'int32' } },
  { name: 'quantity', type: { kind: 'int32' } },
  { name: 'price', type: { kind: 'decimal', precision: 12, scale: 2 } },
  { name: 'tax', type: { kind: 'decimal', precision: 18, scale: 6 }, nullEvery: 4 },
  { name: 'reference', type: { kind: 'string' } },
  { name: 'city', type: { kind: 'string' } },
  { name: 'email', type: { kind: 'string' } },
  { name: 'note', type: { kind: 'string' }, nullEvery: 2 },
  { name: 'created', type: { kind: 'timestamp' } },
  { name: 'paid', type: { kind: 'timestamp_ntz' }, nullEvery: 3 },
  { name: 'active', type: { kind: 'boolean' } },
]

/** Mixed columns of about 170 bytes a row, the same in every run. */
export function mixedBatch(rowCount = rowsPerBatch): ColumnBatch {
  const random = seededRandom(1)
  const builders = columns.map(({ name, type }) => createColumnBuilder(name, type))
  for (let row = 0; row < rowCount; row++) {
    for (const [at, builder] of builders.entries()) {
      const every = columns[at]?.nullEvery
      if (every !== undefined && random() * every < 1) builder.appendNull()
      else appendRandom(builder, row, random)
    }
  }
  return finishBatch(builders)
}

function appendRandom(builder: ColumnBuilder, row: number, random: () => number): void {
  if (builder instanceof BooleanBuilder) builder.append(random() < 0.5)
  else if (builder instanceof Int32Builder) {
    builder.append(Math.floor(random() * (builder.name === 'quantity' ? 100 : 1e6)))
  } else if (builder instanceof Int64Builder) {
    if (builder.name === 'id') builder.appendNumber(1e9 + row)
    else if (builder.type.kind === 'decimal') builder.appendNumber(Math.floor(random() * 1e9))
    else builder.appendNumber(1.7e15 + row * 1e6 + Math.floor(random() * 1e6))
  } else if (builder instanceof BytesBuilder) builder.appendText(randomText(builder.name, random))
}

function randomText(name: string, random: () => number): string {
  const number = Math.floor(random() * 2 ** 32)
  if (name === 'city') return `City of number ${number % 300}`
  if (name === 'email') return `user${number % 1e6}@example.com`
  if (name === 'note') return `note ${number} text`
  return `ref-${number.toString(16)}-${Math.floor(random() * 2 ** 32).toString(16)}`
}

/** Mulberry32. */
function seededRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let bits = Math.imul(state ^ (state >>> 15), 1 | state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 4294967296
  }
}

/** Levels 1 (what staging uses) and 3, side by side. */
export async function run(options: BenchOptions): Promise<readonly Measurement[]> {
  const { rows = 200_000, rounds = 5, say } = options
  const measurements: Measurement[] = []
  for (const zstdLevel of [1, 3]) {
    const result = await benchParquetEncode({ zstdLevel, rows, rounds })
    const cpu = result.cpuSecondsPerMillionRows.toFixed(2)
    say(
      `zstd ${zstdLevel}: ${result.bytesPerRow.toFixed(1)} bytes a row, ${cpu} CPU s per 1 M rows`,
    )
    measurements.push(
      { name: `${result.name}, wall`, value: result.rowsPerSecond, unit: 'rows/s' },
      {
        name: `${result.name}, main thread's CPU`,
        value: result.rowsPerMainThreadSecond,
        unit: 'rows/s',
      },
    )
  }
  return measurements
}

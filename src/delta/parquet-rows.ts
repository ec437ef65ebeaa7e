/** The one door to the Parquet reading library: rows of small files, such as checkpoints. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import {
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type AsyncBuffer,
} from 'hyparquet'

export type ParquetRow = Readonly<Record<string, unknown>>

const compressors = {
  ZSTD: (input: Uint8Array, length: number) => sized(zstdDecompressSync(input), length),
  GZIP: (input: Uint8Array, length: number) => sized(gunzipSync(input), length),
}

function sized(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.byteLength !== length) throw new RangeError(`a page has ${bytes.byteLength} bytes`)
  return bytes
}

/**
 * Rows of a whole file in memory, only the top-level `columns` that it has; all without them.
 * 64-bit integers come as bigint, maps as objects, timestamps as the library's Date.
 */
export async function readParquetRows(
  bytes: Uint8Array,
  columns?: readonly string[],
): Promise<readonly ParquetRow[]> {
  const file: AsyncBuffer = {
    byteLength: bytes.byteLength,
    slice: (start, end) => new Uint8Array(bytes.subarray(start, end)).buffer,
  }
  const metadata = await parquetMetadataAsync(file)
  const present = parquetSchema(metadata).children.map(({ element }) => element.name)
  const wanted = columns === undefined ? present : present.filter((name) => columns.includes(name))
  return parquetReadObjects({ file, metadata, columns: wanted, compressors })
}

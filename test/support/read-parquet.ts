/** Foreign readers of Parquet for tests; both give cells in the form of `cells.ts`. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBInstance,
  DuckDBListValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBConnection,
  type DuckDBValue,
} from '@duckdb/node-api'
import { parquetMetadataAsync, parquetRead } from 'hyparquet'
import type { Cell } from './cells.ts'

/** Columns by name. */
export type Cells = Readonly<Record<string, readonly Cell[]>>

/** Calls `use` with a connection and the path of a file that holds `bytes`. */
export async function withDuckDb<T>(
  bytes: Uint8Array,
  use: (connection: DuckDBConnection, path: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-parquet-'))
  try {
    const path = join(folder, 'file.parquet')
    await writeFile(path, bytes)
    const instance = await DuckDBInstance.create(':memory:', { threads: '2' })
    const connection = await instance.connect()
    try {
      return await use(connection, path)
    } finally {
      connection.closeSync()
      instance.closeSync()
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

export async function readByDuckDb(bytes: Uint8Array): Promise<Cells> {
  return withDuckDb(bytes, async (connection, path) => {
    const reader = await connection.runAndReadAll(`SELECT * FROM read_parquet('${path}')`)
    const columns = Object.entries(reader.getColumnsObject())
    return Object.fromEntries(columns.map(([name, cells]) => [name, cells.map(cellOfDuckDb)]))
  })
}

/** Rows of a query in which `$file` stands for the path of the file. */
export async function queryByDuckDb(
  bytes: Uint8Array,
  sql: string,
): Promise<Record<string, DuckDBValue>[]> {
  return withDuckDb(bytes, async (connection, path) => {
    const reader = await connection.runAndReadAll(sql.replaceAll('$file', `'${path}'`))
    return reader.getRowObjects()
  })
}

function cellOfDuckDb(value: DuckDBValue): Cell {
  if (value instanceof DuckDBListValue) return value.items.map(cellOfDuckDb)
  if (value instanceof DuckDBBlobValue) return new Uint8Array(value.bytes)
  if (value instanceof DuckDBDateValue) return value.days
  if (value instanceof DuckDBTimestampValue) return value.micros
  if (value instanceof DuckDBTimestampTZValue) return value.micros
  if (value instanceof DuckDBDecimalValue) return value.value
  if (value === null || typeof value !== 'object') return value
  throw new Error(`no cell for ${value.constructor.name}`)
}

/**
 * Columns as hyparquet reads them: like DuckDB's, but for decimals, which it makes numbers of, and
 * strings, which come as their bytes so that nothing is decoded away.
 */
export async function readByHyparquet(bytes: Uint8Array): Promise<Cells> {
  const buffer = bytes.buffer.slice(
    bytes.byteOffset,
    bytes.byteOffset + bytes.byteLength,
  ) as ArrayBuffer
  const metadata = await parquetMetadataAsync(buffer)
  const names = metadata.schema.length > 1 ? topLevelNames(metadata.schema) : []
  const columns: Record<string, Cell[]> = Object.fromEntries(names.map((name) => [name, []]))
  if (names.length === 0) return columns
  await parquetRead({
    file: buffer,
    metadata,
    utf8: false,
    compressors: { ZSTD: (input, length) => checkedLength(zstdDecompressSync(input), length) },
    parsers: {
      timestampFromMicroseconds: (micros: bigint) => micros ?? null,
      dateFromDays: (days: number) => days ?? null,
      stringFromBytes: (text: Uint8Array) => text && Buffer.from(text).toString('utf8'),
    },
    onComplete: (rows: Cell[][]) => {
      for (const row of rows) {
        for (const [at, name] of names.entries()) columns[name]?.push(row[at] ?? null)
      }
    },
  })
  return columns
}

function checkedLength(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length) throw new Error(`page of ${bytes.length} bytes, not ${length}`)
  return bytes
}

function topLevelNames(schema: readonly { name: string; num_children?: number }[]): string[] {
  const names: string[] = []
  for (let at = 1; at < schema.length; at++) {
    const element = schema[at]
    if (element === undefined) break
    names.push(element.name)
    // A list is three elements: its group, the repeated group, the leaf.
    if (element.num_children !== undefined) at += 2
  }
  return names
}

/** The embedded SQL engine: the only place that knows DuckDB. Memory bounded, offline, UTC. */
import { mkdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import {
  BIGINT,
  DOUBLE,
  DuckDBDataChunk,
  DuckDBInstance,
  DuckDBTypeId,
  INTEGER,
  VARCHAR,
  type DuckDBConnection,
  type DuckDBMaterializedResult,
  type DuckDBType,
} from '@duckdb/node-api'
import { SluiceError } from '../base/errors.ts'
import { readTextsWhole } from './exact-text.ts'
import { plainValue } from './plain-value.ts'
import { quoteIdentifier } from './quote.ts'
import { isOneRead } from './read-only.ts'
import type { ColumnValues, ResultColumn, ResultColumns } from './result-columns.ts'

export type Parameter = string | number | bigint | boolean | null

/** One column of rows handed to `load`. Fixed types keep the transfer free of guesses. */
export type LoadColumn =
  | { readonly name: string; readonly type: 'BIGINT'; readonly values: ArrayLike<bigint> }
  | { readonly name: string; readonly type: 'INTEGER'; readonly values: ArrayLike<number> }
  | { readonly name: string; readonly type: 'DOUBLE'; readonly values: ArrayLike<number> }
  | { readonly name: string; readonly type: 'VARCHAR'; readonly values: ArrayLike<string | null> }

/**
 * Statements on one connection: they run one after the other; temporary tables belong to it. Every
 * failure is ENGINE_OUT_OF_MEMORY or ENGINE_FAILED, without row values in its text.
 */
export interface EngineStatements {
  /** A local folder for files made on the way; whoever makes one removes it. */
  readonly temporaryFolder: string
  /** Runs one or several statements; results are dropped. */
  run(sql: string, parameters?: readonly Parameter[]): Promise<void>
  /**
   * Rows as plain values: BIGINT and wider as bigint, smaller numbers and floats as number, decimals,
   * dates and times as exact text, blobs as Uint8Array, lists as arrays.
   */
  rows(sql: string, parameters?: readonly Parameter[]): Promise<Record<string, unknown>[]>
  /** The same result by column, numbers as typed arrays. */
  columns(sql: string, parameters?: readonly Parameter[]): Promise<ResultColumns>
  /** False when `sql` is more than one statement, or would write anything. */
  isOneRead(sql: string): Promise<boolean>
  /** Creates a temporary table from columns of equal length. The caller drops it. */
  load(table: string, columns: readonly LoadColumn[]): Promise<void>
}

export interface EngineSession extends EngineStatements {
  close(): void
}

export interface Engine extends EngineStatements {
  /** Another connection to the same memory budget, for work beside this one. */
  openSession(): Promise<EngineSession>
  /**
   * Twice the memory from now on, for a statement that ended with ENGINE_OUT_OF_MEMORY; the new
   * limit in bytes, or undefined when the most allowed is reached.
   */
  growMemory(): Promise<number | undefined>
  /** Closes all sessions and removes what was spilled. */
  close(): Promise<void>
}

export interface EngineOptions {
  /** For joins, sorts and buffers of all sessions together; beyond it the engine spills. Default 1 GiB. */
  readonly memoryLimitBytes?: number
  /** How far `growMemory` goes. Default: no further than the limit. */
  readonly mostMemoryBytes?: number
  /** Default: one per core. */
  readonly threads?: number
  /** Where to spill; default a folder of its own under the system's. */
  readonly temporaryFolder?: string
  /** Messages may quote row values: only for SQL a person typed to look at the data. Default false. */
  readonly valuesInErrors?: boolean
}

const defaultMemoryLimitBytes = 2 ** 30

/** Rows the engine takes in one chunk. */
const chunkRows = 2048

export async function openEngine(options: EngineOptions = {}): Promise<Engine> {
  const temporaryFolder = options.temporaryFolder ?? join(tmpdir(), `sluice-engine-${randomUUID()}`)
  let limit = options.memoryLimitBytes ?? defaultMemoryLimitBytes
  const most = options.mostMemoryBytes ?? limit
  const valuesInErrors = options.valuesInErrors === true
  readTextsWhole()
  await mkdir(temporaryFolder, { recursive: true })
  const instance = await guard(valuesInErrors, () =>
    DuckDBInstance.create(':memory:', {
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
      memory_limit: `${Math.ceil(limit / 2 ** 20)}MiB`,
      temp_directory: temporaryFolder,
      ...(options.threads === undefined ? {} : { threads: String(options.threads) }),
    }),
  )
  const open = new Set<EngineSession>()
  const openSession = async (): Promise<EngineSession> => {
    const connection = await guard(valuesInErrors, () => instance.connect())
    const session = createSession(connection, { valuesInErrors, temporaryFolder }, () =>
      open.delete(session),
    )
    open.add(session)
    return session
  }
  const first = await openSession()
  // For the sessions to come; those that are open keep theirs.
  await first.run("SET GLOBAL TimeZone = 'UTC'; SET TimeZone = 'UTC'")
  return {
    ...first,
    openSession,
    growMemory: async () => {
      const next = Math.min(limit * 2, most)
      if (next <= limit) return undefined
      limit = next
      await first.run(`SET GLOBAL memory_limit = '${Math.ceil(limit / 2 ** 20)}MiB'`)
      return limit
    },
    close: async () => {
      for (const session of open) session.close()
      instance.closeSync()
      if (options.temporaryFolder === undefined) {
        await rm(temporaryFolder, { recursive: true, force: true })
      }
    },
  }
}

function createSession(
  connection: DuckDBConnection,
  { valuesInErrors, temporaryFolder }: { valuesInErrors: boolean; temporaryFolder: string },
  closed: () => void,
): EngineSession {
  const execute = (
    sql: string,
    parameters: readonly Parameter[] | undefined,
  ): Promise<DuckDBMaterializedResult> => connection.run(sql, parameters?.slice())
  let isOpen = true
  return {
    temporaryFolder,
    run: (sql, parameters) =>
      guard(valuesInErrors, async () => {
        await execute(sql, parameters)
      }),
    rows: (sql, parameters) =>
      guard(valuesInErrors, async () => readRows(await execute(sql, parameters))),
    columns: (sql, parameters) =>
      guard(valuesInErrors, async () => readColumns(await execute(sql, parameters))),
    isOneRead: (sql) => guard(valuesInErrors, () => isOneRead(connection, sql)),
    load: (table, columns) => guard(valuesInErrors, () => loadColumns(connection, table, columns)),
    close: () => {
      if (!isOpen) return
      isOpen = false
      closed()
      connection.closeSync()
    },
  }
}

/** What is all there is taken at once: a call through the thread pool per chunk is what costs. */
async function chunksOf(result: DuckDBMaterializedResult): Promise<readonly DuckDBDataChunk[]> {
  if (result.isStreaming) return await result.fetchAllChunks()
  return Array.from({ length: result.chunkCount }, (_, index) => result.getChunk(index))
}

async function readRows(result: DuckDBMaterializedResult): Promise<Record<string, unknown>[]> {
  const names = result.deduplicatedColumnNames()
  const rows: Record<string, unknown>[] = []
  for (const chunk of await chunksOf(result)) {
    for (const row of chunk.getRows()) {
      rows.push(Object.fromEntries(names.map((name, index) => [name, plainValue(row[index])])))
    }
  }
  return rows
}

async function readColumns(result: DuckDBMaterializedResult): Promise<ResultColumns> {
  const names = result.deduplicatedColumnNames()
  const chunks = await chunksOf(result)
  const rowCount = chunks.reduce((sum, chunk) => sum + chunk.rowCount, 0)
  const columns = names.map((name, index): ResultColumn => {
    const values = emptyColumn(result.columnTypeId(index), rowCount)
    const nulls = fillColumn(values, chunks, index)
    return { name, values, nulls }
  })
  return { rowCount, columns }
}

type FillableColumn = BigInt64Array | Int32Array | Float64Array | unknown[]

function emptyColumn(type: DuckDBTypeId, rowCount: number): FillableColumn & ColumnValues {
  switch (type) {
    case DuckDBTypeId.BIGINT:
      return new BigInt64Array(rowCount)
    case DuckDBTypeId.TINYINT:
    case DuckDBTypeId.SMALLINT:
    case DuckDBTypeId.INTEGER:
    case DuckDBTypeId.UTINYINT:
    case DuckDBTypeId.USMALLINT:
      return new Int32Array(rowCount)
    case DuckDBTypeId.FLOAT:
    case DuckDBTypeId.DOUBLE:
      return new Float64Array(rowCount)
    default:
      return Array.from<unknown>({ length: rowCount })
  }
}

/** Copies one column out of all chunks; returns the NULL map when there is a NULL. */
function fillColumn(
  values: FillableColumn,
  chunks: readonly DuckDBDataChunk[],
  index: number,
): Uint8Array | undefined {
  let nulls: Uint8Array | undefined
  let row = 0
  for (const chunk of chunks) {
    const vector = chunk.getColumnVector(index)
    for (let item = 0; item < chunk.rowCount; item++, row++) {
      const value: unknown = vector.getItem(item)
      if (value === null) (nulls ??= new Uint8Array(values.length))[row] = 1
      if (values instanceof BigInt64Array) values[row] = value === null ? 0n : (value as bigint)
      else if (Array.isArray(values)) values[row] = plainValue(value)
      else values[row] = value === null ? 0 : (value as number)
    }
  }
  return nulls
}

const loadTypes: Record<LoadColumn['type'], DuckDBType> = {
  BIGINT,
  INTEGER,
  DOUBLE,
  VARCHAR,
}

async function loadColumns(
  connection: DuckDBConnection,
  table: string,
  columns: readonly LoadColumn[],
): Promise<void> {
  const definitions = columns.map((column) => `${quoteIdentifier(column.name)} ${column.type}`)
  await connection.run(`CREATE TEMP TABLE ${quoteIdentifier(table)} (${definitions.join(', ')})`)
  const rowCount = columns[0]?.values.length ?? 0
  const appender = await connection.createAppender(table)
  const types = columns.map((column) => loadTypes[column.type])
  for (let start = 0; start < rowCount; start += chunkRows) {
    const count = Math.min(chunkRows, rowCount - start)
    const chunk = DuckDBDataChunk.create(types, count)
    columns.forEach((column, index) => {
      const vector = chunk.getColumnVector(index)
      for (let item = 0; item < count; item++)
        vector.setItem(item, column.values[start + item] ?? null)
      vector.flush()
    })
    appender.appendDataChunk(chunk)
  }
  appender.closeSync()
}

/** Kinds of failure whose text quotes cells. */
const quotesValues = /^(Conversion|Constraint|Invalid Input|Out of Range|Mismatch Type) Error/

async function guard<T>(valuesInErrors: boolean, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    const firstLine = text.split('\n', 1)[0] ?? text
    if (firstLine.startsWith('Out of Memory Error')) {
      throw new SluiceError('ENGINE_OUT_OF_MEMORY', firstLine, { cause: error })
    }
    const kind = quotesValues.exec(firstLine)?.[0]
    if (kind !== undefined && !valuesInErrors) throw new SluiceError('ENGINE_FAILED', kind)
    throw new SluiceError('ENGINE_FAILED', firstLine, { cause: error })
  }
}

/** The live rows of a Delta table as a relation of the embedded engine. */
import { randomUUID } from 'node:crypto'
import type { AddFile } from '../delta/actions.ts'
import type { DeltaSnapshot, DeltaTable } from '../delta/delta-table.ts'
import { columnsOfDeltaSchema, type DeltaColumn } from '../delta/table-schema.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { localDataFile } from './data-path.ts'
import { fileColumn, positionColumn, positionedScanSql, scanSql } from './scan.ts'
import { engineTypeOf } from './type-mapping.ts'

export interface LiveRowsOptions {
  /** Default: all, in the table's order. */
  readonly columns?: readonly string[]
}

/**
 * A relation, to be put after FROM, of the rows of `snapshot`: its files without what their
 * deletion vectors mark, types as the table's schema says, columns a file lacks as NULL. Positions
 * of deleted rows are in temporary tables that live as long as the session.
 * Throws DELTA_UNSUPPORTED_TYPE and DESTINATION_FILE_UNREACHABLE.
 */
export async function liveRowsSql(
  engine: EngineStatements,
  table: DeltaTable,
  snapshot: DeltaSnapshot,
  options: LiveRowsOptions = {},
): Promise<string> {
  const all = columnsOfDeltaSchema(snapshot.metadata.schemaString)
  const wanted = chosenColumns(all, options.columns)
  return await liveRowsOfFilesSql(engine, table, [...snapshot.files.values()], { all, wanted })
}

/** The same of single files; `all`: every column they may have, `wanted`: those asked for. */
export async function liveRowsOfFilesSql(
  engine: EngineStatements,
  table: DeltaTable,
  files: readonly AddFile[],
  {
    all,
    wanted,
  }: { readonly all: readonly DeltaColumn[]; readonly wanted: readonly DeltaColumn[] },
): Promise<string> {
  const names = all.map(({ name }) => name)
  const whole = files.filter((file) => file.deletionVector === undefined)
  const marked = files.filter((file) => file.deletionVector !== undefined)
  const parts = [emptyRelation(wanted)]
  if (whole.length > 0) {
    const paths = whole.map((file) => localDataFile(table, file))
    parts.push(`SELECT * FROM ${scanSql(paths, { unionByName: true })}`)
  }
  if (marked.length > 0) parts.push(await markedRows(engine, table, marked, names))
  const casts = wanted.map(({ name, type }) => {
    const quoted = quoteIdentifier(name)
    return `CAST(${quoted} AS ${engineTypeOf(type)}) AS ${quoted}`
  })
  return `(SELECT ${casts.join(', ')} FROM (${parts.join(' UNION ALL BY NAME ')}))`
}

function chosenColumns(
  all: readonly DeltaColumn[],
  names: readonly string[] | undefined,
): readonly DeltaColumn[] {
  if (names === undefined) return all
  return names.flatMap((name) => all.filter((column) => column.name === name))
}

/** No rows, but every column with its type: whatever the files have or lack. */
export function emptyRelation(columns: readonly DeltaColumn[]): string {
  const list = columns.map(
    ({ name, type }) => `CAST(NULL AS ${engineTypeOf(type)}) AS ${quoteIdentifier(name)}`,
  )
  return `SELECT ${list.join(', ')} WHERE false`
}

async function markedRows(
  engine: EngineStatements,
  table: DeltaTable,
  files: readonly AddFile[],
  names: readonly string[],
): Promise<string> {
  const vectors = await Promise.all(files.map((file) => table.readDeletionVector(file)))
  const dead = `deleted_${randomUUID()}`
  await loadPositions(
    engine,
    dead,
    vectors.map((vector) => BigUint64Array.from(vector)),
  )
  const paths = files.map((file) => localDataFile(table, file))
  const scan = positionedScanSql(paths, '*', names, { unionByName: true })
  return `SELECT * EXCLUDE (${quoteIdentifier(fileColumn)}, ${quoteIdentifier(positionColumn)})
    FROM ${scan} ANTI JOIN ${quoteIdentifier(dead)}
    USING (${quoteIdentifier(fileColumn)}, ${quoteIdentifier(positionColumn)})`
}

/** A temporary table (file number, position) of all positions, one vector per file number. */
export async function loadPositions(
  engine: EngineStatements,
  name: string,
  vectors: readonly BigUint64Array[],
): Promise<void> {
  const count = vectors.reduce((sum, vector) => sum + vector.length, 0)
  const files = new Int32Array(count)
  const positions = new BigInt64Array(count)
  let at = 0
  vectors.forEach((vector, file) => {
    files.fill(file, at, at + vector.length)
    positions.set(new BigInt64Array(vector.buffer, vector.byteOffset, vector.length), at)
    at += vector.length
  })
  await engine.load(name, [
    { name: fileColumn, type: 'INTEGER', values: files },
    { name: positionColumn, type: 'BIGINT', values: positions },
  ])
}

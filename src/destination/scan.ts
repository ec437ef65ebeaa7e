/** SQL that scans Parquet files: exact paths, nothing guessed from names, row positions on demand. */
import { quoteIdentifier, quoteText } from '../engine/quote.ts'

/** Names the scan gives to the number of a row's file in the list and to its place in the file. */
export const fileColumn = '__sluice_file'
export const positionColumn = '__sluice_position'

/** Characters the engine would take for a pattern, made plain. */
function exactPath(path: string): string {
  return quoteText(path.replace(/[[*?]/g, (character) => `[${character}]`))
}

export interface ScanOptions {
  /** Files may lack columns, or have them in another order: matched by name, missing ones are NULL. */
  readonly unionByName?: boolean
}

/** A relation over all `files` (at least one), all columns. */
export function scanSql(files: readonly string[], options: ScanOptions = {}): string {
  const union = options.unionByName === true ? ', union_by_name = true' : ''
  return `read_parquet([${files.map(exactPath).join(', ')}], hive_partitioning = false${union})`
}

/** `rows`, a query, with NULL in each of `columns` that none of its files has. */
export function tolerantSql(
  rows: string,
  columns: readonly { readonly name: string; readonly engineType: string }[],
): string {
  const list = columns.map(
    ({ name, engineType }) => `CAST(NULL AS ${engineType}) AS ${quoteIdentifier(name)}`,
  )
  return `(SELECT ${list.join(', ')} WHERE false UNION ALL BY NAME ${rows})`
}

/** Virtual columns of the engine; a real column of the name hides them. */
const virtualNames = new Set(['file_index', 'file_row_number'])

/**
 * A relation over `files` with `columns` and, per row, its file's number in `files` (INTEGER) and
 * its position in the file (BIGINT). `tableColumns`: every column the files may have.
 */
export function positionedScanSql(
  files: readonly string[],
  columns: readonly string[] | '*',
  tableColumns: readonly string[],
  options: ScanOptions = {},
): string {
  const list =
    columns === '*' ? '*, ' : columns.map((column) => `${quoteIdentifier(column)}, `).join('')
  const file = quoteIdentifier(fileColumn)
  const position = quoteIdentifier(positionColumn)
  if (!tableColumns.some((name) => virtualNames.has(name.toLowerCase()))) {
    return `(SELECT ${list}file_index::INTEGER AS ${file}, file_row_number AS ${position}
      FROM ${scanSql(files, options)})`
  }
  // The order of rows in one file is kept by the engine, so a running number is the position.
  const each = files.map(
    (path, index) =>
      `SELECT ${list}${index}::INTEGER AS ${file}, row_number() OVER () - 1 AS ${position}
       FROM ${scanSql([path], options)}`,
  )
  return `(${each.join(' UNION ALL ')})`
}

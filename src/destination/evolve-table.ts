/** A table whose columns changed: its live rows in files with the new columns. */
import { isDeepStrictEqual } from 'node:util'
import type { AddFile } from '../delta/actions.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { parseDeltaStats } from '../delta/statistics.ts'
import { columnsOfDeltaSchema } from '../delta/table-schema.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { DestinationKind } from './destination-kind.ts'
import { liveRowsSql } from './read-table.ts'
import { sameColumn, upgradedColumns, type SchemaUpgrade } from './schema-upgrade.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { writeDataFiles } from './write-data-file.ts'

/**
 * False when the files can stay as they are: the columns are the same, or some were added that are
 * NULL in every row there is, and whoever reads rows of this kind takes a column that a file lacks
 * for NULL.
 */
export function needsRewrite({ from, to, fills }: SchemaUpgrade, kind: DestinationKind): boolean {
  const kept = to.columns.filter((column) => {
    const before = sameColumn(from, column)
    return before?.name === column.name && isDeepStrictEqual(before.type, column.type)
  })
  if (kept.length < from.columns.length) return true
  const added = to.columns.filter((column) => !kept.includes(column))
  if (added.length > 0 && kind !== 'current') return true
  return added.some(
    (column) => sameColumn(from, column) !== undefined || fills.has(column.id ?? ''),
  )
}

/** Statistics name the first columns of a file, see `deltaStatsJson`. */
const countedColumns = 32

/** Whether some file may be older than a column. */
export function mayLack(files: readonly AddFile[], names: readonly string[]): boolean {
  if (names.length > countedColumns) return true
  return files.some(({ stats }) => {
    const counted = parseDeltaStats(stats)?.nullCount
    return counted === undefined || names.some((name) => !counted.has(name))
  })
}

/**
 * Durable files that replace all files of `snapshot`. Rows flow through the engine: memory does not
 * grow with the table. `written` gets every new file, so that a failure can remove it.
 */
export async function rewriteTable(
  tools: TableTools,
  work: TableWork,
  {
    snapshot,
    evolution,
    written,
  }: {
    readonly snapshot: DeltaSnapshot
    readonly evolution: SchemaUpgrade
    readonly written: AddFile[]
  },
): Promise<readonly AddFile[]> {
  if (snapshot.files.size === 0) return []
  const session = await tools.engine.openSession()
  try {
    const rows = await liveRowsSql(session, tools.table, snapshot)
    const own = ownColumns(snapshot, evolution)
    const list = [...upgradedColumns(evolution), ...own.map(quoteIdentifier)]
    const files = await writeDataFiles(
      { ...tools, engine: session, columns: work.columns.stored },
      `SELECT ${list.join(', ')} FROM ${rows}`,
      true,
    )
    written.push(...files)
    return files
  } finally {
    session.close()
  }
}

/** Columns that the destination has beside those of the source. */
function ownColumns(snapshot: DeltaSnapshot, { from }: SchemaUpgrade): readonly string[] {
  const names = new Set(from.columns.map(({ name }) => name))
  return columnsOfDeltaSchema(snapshot.metadata.schemaString)
    .map(({ name }) => name)
    .filter((name) => !names.has(name))
}

/** A table whose columns changed: its live rows in files with the new columns. */
import type { AddFile } from '../delta/actions.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { columnsOfDeltaSchema } from '../delta/table-schema.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { liveRowsSql } from './read-table.ts'
import { upgradedColumns, type SchemaUpgrade } from './schema-upgrade.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { writeDataFiles } from './write-data-file.ts'

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

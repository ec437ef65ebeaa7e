/**
 * Rows that were staged, or stored, under an earlier schema of the same copy, as rows of a later one:
 * columns are the same by their id, a column that is gone is left out, an added one has what its
 * schema change said, or NULL.
 */
import { isDeepStrictEqual } from 'node:util'
import { quoteIdentifier } from '../engine/quote.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import { scanSql } from './scan.ts'
import { engineTypeOf } from './type-mapping.ts'

/** Where a cell that rows from before have in an added column stands: a file of one row. */
export interface ColumnFill {
  /** Local path of a verified file. */
  readonly path: string
  /** The column's name in it. */
  readonly name: string
}

export interface SchemaUpgrade {
  readonly from: Pick<TableSchema, 'columns'>
  readonly to: Pick<TableSchema, 'columns'>
  /** By `SourceColumn.id`. */
  readonly fills: ReadonlyMap<string, ColumnFill>
}

/** Column of `from` that is `column`; undefined when it was added later. */
export function sameColumn(
  from: Pick<TableSchema, 'columns'>,
  column: SourceColumn,
): SourceColumn | undefined {
  if (column.id === undefined) return from.columns.find(({ name }) => name === column.name)
  return from.columns.find(({ id }) => id === column.id)
}

/** `<expression> AS <name>` per column of `to`, over the columns of `from`. */
export function upgradedColumns({ from, to, fills }: SchemaUpgrade): readonly string[] {
  return to.columns.map((column) => {
    const quoted = quoteIdentifier(column.name)
    const type = engineTypeOf(column.type)
    const before = sameColumn(from, column)
    if (before !== undefined) {
      const cell = quoteIdentifier(before.name)
      if (isDeepStrictEqual(before.type, column.type)) return `${cell} AS ${quoted}`
      return `CAST(${cell} AS ${type}) AS ${quoted}`
    }
    const fill = fills.get(column.id ?? '')
    if (fill === undefined) return `CAST(NULL AS ${type}) AS ${quoted}`
    const cell = `(SELECT ${quoteIdentifier(fill.name)} FROM ${scanSql([fill.path])})`
    return `CAST(${cell} AS ${type}) AS ${quoted}`
  })
}

/**
 * A relation of the rows of staged files written with `from`, as if written with `to`; the columns
 * that staging adds are there as far as the files have them.
 */
export function upgradedScanSql(
  paths: readonly string[],
  upgrade: SchemaUpgrade,
  {
    hasAbsent,
    hasUnfit,
    isMixed = false,
  }: { readonly hasAbsent: boolean; readonly hasUnfit: boolean; readonly isMixed?: boolean },
): string {
  const left = upgrade.from.columns.map(({ name }) => quoteIdentifier(name))
  const list = [...upgradedColumns(upgrade)]
  const numbers = upgrade.from.columns.map((column) => {
    const at = upgrade.to.columns.findIndex((one) => sameColumn({ columns: [column] }, one))
    return at < 0 ? 'NULL' : String(at)
  })
  const places = `([${numbers.join(', ')}]::INTEGER[])`
  if (hasAbsent) {
    left.push('_absent')
    list.push(
      `list_filter(list_transform(_absent, lambda o: ${places}[o + 1]), lambda o: o IS NOT NULL) AS _absent`,
    )
  }
  if (hasUnfit) {
    left.push('_unfit')
    const place = `${places}[split_part(u, ':', 1)::INTEGER + 1]`
    const text = `substr(u, strpos(u, ':'))`
    list.push(
      `list_transform(list_filter(_unfit, lambda u: ${place} IS NOT NULL), lambda u: ${place} || ${text}) AS _unfit`,
    )
  }
  const scan = scanSql(paths, { unionByName: hasAbsent || hasUnfit || isMixed })
  return `(SELECT ${list.join(', ')}, * EXCLUDE (${left.join(', ')}) FROM ${scan})`
}

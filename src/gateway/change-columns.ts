/** The columns a change file has beside those of its table. */
import type { ParquetColumn } from '../columnar/parquet-encoder.ts'
import type { TableSchema } from '../source/table-schema.ts'

export const opColumn: ParquetColumn = { name: '_op', type: { kind: 'string' } }
export const sequenceColumn: ParquetColumn = { name: '_seq', type: { kind: 'int64' } }
export const ordinalColumn: ParquetColumn = { name: '_ord', type: { kind: 'int32' } }
export const commitTimeColumn: ParquetColumn = { name: '_commit_ts', type: { kind: 'timestamp' } }

/** Ordinals, from 0, of the table's columns whose cell the source did not send. */
export const absentColumn = {
  name: '_absent',
  type: { kind: 'array', element: { kind: 'int32' } },
} as const satisfies ParquetColumn

/**
 * `<ordinal of the table's column, from 0>:<text in the source>` per cell of the row that its type
 * can not hold; the cell itself is NULL.
 */
export const unfitColumn = {
  name: '_unfit',
  type: { kind: 'array', element: { kind: 'string' } },
} as const satisfies ParquetColumn

const changeColumns = [opColumn, sequenceColumn, ordinalColumn, commitTimeColumn]

export function tableColumns(schema: TableSchema): readonly ParquetColumn[] {
  return schema.columns.map(({ name, type }) => ({ name, type }))
}

/** Columns that stand in a file only when some row of it needs them. */
export interface OptionalColumns {
  readonly hasAbsent: boolean
  readonly hasUnfit: boolean
}

/** Columns of a snapshot file in file order. */
export function snapshotFileColumns(schema: TableSchema, hasUnfit: boolean): ParquetColumn[] {
  return [...tableColumns(schema), ...(hasUnfit ? [unfitColumn] : [])]
}

/** Columns of a change file in file order. */
export function changeFileColumns(
  schema: TableSchema,
  { hasAbsent, hasUnfit }: OptionalColumns,
): ParquetColumn[] {
  return [
    ...tableColumns(schema),
    ...changeColumns,
    ...(hasAbsent ? [absentColumn] : []),
    ...(hasUnfit ? [unfitColumn] : []),
  ]
}

/** The table's column whose name, ignoring case, is one of ours; undefined when none is. */
export function clashingColumn(schema: TableSchema): string | undefined {
  const all = [...changeColumns, absentColumn, unfitColumn]
  const ours = new Set<string>(all.map((column) => column.name))
  return schema.columns.find((column) => ours.has(column.name.toLowerCase()))?.name
}

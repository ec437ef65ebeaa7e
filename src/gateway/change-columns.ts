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

const changeColumns = [opColumn, sequenceColumn, ordinalColumn, commitTimeColumn]

export function tableColumns(schema: TableSchema): readonly ParquetColumn[] {
  return schema.columns.map(({ name, type }) => ({ name, type }))
}

/** Columns of a change file in file order; `_absent` only when some row of the file needs it. */
export function changeFileColumns(schema: TableSchema, hasAbsent: boolean): ParquetColumn[] {
  const columns = [...tableColumns(schema), ...changeColumns]
  return hasAbsent ? [...columns, absentColumn] : columns
}

/** The table's column whose name, ignoring case, is one of ours; undefined when none is. */
export function clashingColumn(schema: TableSchema): string | undefined {
  const ours = new Set([...changeColumns, absentColumn].map((column) => column.name))
  return schema.columns.find((column) => ours.has(column.name.toLowerCase()))?.name
}

/** Which columns of a source table go to a destination table. Pure. */
import { SluiceError } from '../base/errors.ts'
import type { ScdType } from '../catalog/pipeline-definition.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import {
  destinationKind,
  storedColumns,
  type DestinationKind,
  type StoredColumn,
} from './destination-kind.ts'

export interface ColumnChoice {
  /** Default SCD_TYPE_1. */
  readonly scdType?: ScdType
  /** Undefined: all. Key columns always come along. */
  readonly includeColumns?: readonly string[]
  readonly excludeColumns?: readonly string[]
}

export interface DestinationColumns {
  /** The staged schema they were chosen from. */
  readonly staged: TableSchema
  readonly kind: DestinationKind
  /** Those that come from the source, in its order. */
  readonly columns: readonly SourceColumn[]
  /** All columns of the destination: `columns`, then those the kind adds. */
  readonly stored: readonly StoredColumn[]
  /** Names, in key order; empty for a table without a key. */
  readonly key: readonly string[]
  /** Ordinal in the source's schema → ordinal here; -1: left out. */
  readonly ordinals: readonly number[]
  readonly isComplete: boolean
}

/**
 * Throws DESTINATION_COLUMN_UNKNOWN when a list names no column, or leaves out a key column;
 * PIPELINE_SCD_UNSUPPORTED and DESTINATION_COLUMN_CLASH as the kind of the destination says.
 */
export function chooseColumns(schema: TableSchema, choice: ColumnChoice): DestinationColumns {
  const { includeColumns, excludeColumns } = choice
  const isKey = new Set(schema.key)
  const known = new Set(schema.columns.map(({ name }) => name))
  for (const name of [...(includeColumns ?? []), ...(excludeColumns ?? [])]) {
    if (!known.has(name)) throw unknownColumn(`the source table has no column "${name}"`)
  }
  for (const name of excludeColumns ?? []) {
    if (isKey.has(name)) throw unknownColumn(`"${name}" is a key column and can not be excluded`)
  }
  const excluded = new Set(excludeColumns)
  const included = includeColumns === undefined ? undefined : new Set(includeColumns)
  const columns = schema.columns.filter(
    ({ name }) =>
      isKey.has(name) || (!excluded.has(name) && (included === undefined || included.has(name))),
  )
  const kind = destinationKind(choice.scdType ?? 'SCD_TYPE_1', schema)
  return {
    staged: schema,
    kind,
    columns,
    stored: storedColumns(kind, columns),
    key: schema.key,
    ordinals: schema.columns.map((column) => columns.indexOf(column)),
    isComplete: columns.length === schema.columns.length,
  }
}

function unknownColumn(text: string): SluiceError {
  return new SluiceError('DESTINATION_COLUMN_UNKNOWN', text)
}

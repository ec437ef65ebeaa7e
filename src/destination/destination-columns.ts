/** Which columns of a source table go to a destination table. Pure. */
import { SluiceError } from '../base/errors.ts'
import type { ScdType } from '../catalog/pipeline-definition.ts'
import type { UnfitPolicy } from '../columnar/unfit-policy.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import {
  destinationKind,
  storedColumns,
  type DestinationKind,
  type StoredColumn,
} from './destination-kind.ts'
import { destinationColumn } from './unfit-sql.ts'

export type { UnfitPolicy }

export interface ColumnChoice {
  /** Default: fail. */
  readonly unfit?: UnfitPolicy
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
  /** Staged files of that schema without unfit cells have exactly the columns `columns`. */
  readonly isComplete: boolean
  /** What is done about unfit cells. */
  readonly unfit: UnfitPolicy
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
  const chosen = schema.columns.filter(
    ({ name }) =>
      isKey.has(name) || (!excluded.has(name) && (included === undefined || included.has(name))),
  )
  const unfit = choice.unfit ?? 'fail'
  const columns = chosen.map((column) => destinationColumn(column, unfit))
  const kind = destinationKind(choice.scdType ?? 'SCD_TYPE_1', schema)
  return {
    staged: schema,
    kind,
    columns,
    stored: storedColumns(kind, columns),
    key: schema.key,
    ordinals: schema.columns.map((column) => chosen.indexOf(column)),
    isComplete: schema.columns.every((column, at) => column === columns[at]),
    unfit,
  }
}

function unknownColumn(text: string): SluiceError {
  return new SluiceError('DESTINATION_COLUMN_UNKNOWN', text)
}

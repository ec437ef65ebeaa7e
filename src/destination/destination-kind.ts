/** What a destination table keeps of its source table, and the columns it has for that. Pure. */
import { SluiceError } from '../base/errors.ts'
import type { ScdType } from '../catalog/pipeline-definition.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'

/**
 * `current`: one row per key, as it is now. `multiset`: as many equal rows as the source has, of a
 * table without a key. `versions`: every row with the time it was valid. `log`: every change.
 */
export type DestinationKind = 'current' | 'multiset' | 'versions' | 'log'

export interface StoredColumn {
  readonly name: string
  readonly type: CanonicalType
}

/** Begin and end of a version, `[start, end)`; the end of the present one is NULL. */
export const startColumn = '__START_AT'
export const endColumn = '__END_AT'
/** `insert`, `update`, `delete` or `truncate`. */
export const changeTypeColumn = '__CHANGE_TYPE'
export const commitTimeColumn = '__COMMIT_AT'
/** Of the source transaction; with the ordinal it orders all changes of the table. */
export const sequenceColumn = '__SEQUENCE'
/**
 * Of the change in its transaction; negative: a row of a copy, before all changes of `__SEQUENCE`,
 * a later copy with a greater number.
 */
export const ordinalColumn = '__ORDINAL'
export const firstCopyOrdinal = -2147483648

/** Those that are not the source's, by kind. */
export const ownColumns: Readonly<Record<DestinationKind, readonly StoredColumn[]>> = {
  current: [],
  multiset: [],
  versions: [
    { name: startColumn, type: { kind: 'timestamp' } },
    { name: endColumn, type: { kind: 'timestamp' } },
  ],
  log: [
    { name: changeTypeColumn, type: { kind: 'string' } },
    { name: commitTimeColumn, type: { kind: 'timestamp' } },
    { name: sequenceColumn, type: { kind: 'int64' } },
    { name: ordinalColumn, type: { kind: 'int32' } },
  ],
}

/** Throws PIPELINE_SCD_UNSUPPORTED when the table's rows can not be told apart as the kind needs. */
export function destinationKind(scdType: ScdType, schema: TableSchema): DestinationKind {
  const identity = schema.identity ?? 'key'
  if (scdType === 'APPEND_ONLY') return 'log'
  if (identity === 'insert-only') {
    const text = `scd_type ${scdType} needs updates and deletes; the table is followed for inserts only`
    throw new SluiceError('PIPELINE_SCD_UNSUPPORTED', text)
  }
  if (identity === 'key') return scdType === 'SCD_TYPE_1' ? 'current' : 'versions'
  if (scdType === 'SCD_TYPE_1') return 'multiset'
  throw new SluiceError(
    'PIPELINE_SCD_UNSUPPORTED',
    'scd_type SCD_TYPE_2 needs a key, and the table has none',
    { remedy: 'Give the table a primary key, or use scd_type: SCD_TYPE_1 or APPEND_ONLY.' },
  )
}

/** All columns of the destination. Throws DESTINATION_COLUMN_CLASH when one of ours is taken. */
export function storedColumns(
  kind: DestinationKind,
  columns: readonly SourceColumn[],
): readonly StoredColumn[] {
  const own = ownColumns[kind]
  const names = new Set(own.map(({ name }) => name.toLowerCase()))
  const taken = columns.find(({ name }) => names.has(name.toLowerCase()))
  if (taken !== undefined) {
    throw new SluiceError(
      'DESTINATION_COLUMN_CLASH',
      `the source table has a column "${taken.name}", a name that the destination needs itself`,
      { remedy: `Rename the column, or list it under exclude_columns: [${taken.name}].` },
    )
  }
  return [...columns.map(({ name, type }) => ({ name, type })), ...own]
}

/** Whether the table keeps what was before, so that a new copy must not simply replace it. */
export function keepsHistory(kind: DestinationKind): boolean {
  return kind === 'versions' || kind === 'log'
}

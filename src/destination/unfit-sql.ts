/**
 * SQL over the `_unfit` column of staged files (docs/staging-format.md, "Data files"): the text of a
 * cell that its type can not hold, and what a policy makes of it.
 */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { mayBeUnfit, type UnfitPolicy } from '../columnar/unfit-policy.ts'
import type { SourceColumn } from '../source/table-schema.ts'

/** A column as a destination has it. */
export function destinationColumn(column: SourceColumn, policy: UnfitPolicy): SourceColumn {
  if (policy !== 'string' || !mayBeUnfit(column)) return column
  return { ...column, type: { kind: 'string' }, nullable: true }
}

/** Text of the unfit cell of the column at `ordinal` in the staged schema; NULL when the cell fits. */
export function unfitTextSql(ordinal: number): string {
  const prefix = `${ordinal}:`
  return `list_filter(_unfit, lambda x: starts_with(x, '${prefix}'))[1][${prefix.length + 1}:]`
}

/** Whether a cell of one of these columns is unfit. */
export function anyUnfitSql(ordinals: readonly number[]): string {
  if (ordinals.length === 0) return 'false'
  const list = ordinals.map((ordinal) => `'${ordinal}'`).join(', ')
  return `coalesce(len(list_filter(_unfit, lambda x: split_part(x, ':', 1) IN (${list}))) > 0, false)`
}

/** The text that the source writes for a value that fits; `cell` is its SQL. */
export function sourceTextSql(cell: string, type: CanonicalType): string {
  switch (type.kind) {
    case 'timestamp':
      return `make_timestamp(epoch_us(${cell}))::VARCHAR || '+00'`
    case 'decimal':
      // The engine leaves out the zero before the point where no digit may stand there.
      return type.precision === type.scale
        ? `regexp_replace(${cell}::VARCHAR, '^(-?)\\.', '\\10.')`
        : `${cell}::VARCHAR`
    default:
      return `${cell}::VARCHAR`
  }
}

const nearest: Readonly<Record<string, readonly [least: string, most: string]>> = {
  date: [`DATE '0001-01-01'`, `DATE '9999-12-31'`],
  timestamp_ntz: [`TIMESTAMP '0001-01-01 00:00:00'`, `TIMESTAMP '9999-12-31 23:59:59.999999'`],
  timestamp: [
    `TIMESTAMPTZ '0001-01-01 00:00:00+00'`,
    `TIMESTAMPTZ '9999-12-31 23:59:59.999999+00'`,
  ],
}

/** The value nearest to an unfit one with the text `text` (SQL); NULL where there is none. */
export function clampSql(text: string, type: CanonicalType): string {
  const bounds = nearest[type.kind]
  if (bounds === undefined) return 'NULL'
  const [least, most] = bounds
  // What is before the first year is written with BC, or is minus infinity; or leaves it by its offset.
  return `CASE WHEN ${text} LIKE '-%' OR ${text} LIKE '% BC' OR ${text} LIKE '0001-%' THEN ${least}
    WHEN ${text} IS NOT NULL THEN ${most} END`
}

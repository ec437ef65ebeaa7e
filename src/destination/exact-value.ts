/**
 * SQL terms that are equal exactly when two cells hold the same value as the source tells it: -0 is
 * not 0, every NaN is the same, NULL is left to the comparison.
 */
import { quoteIdentifier } from '../engine/quote.ts'
import type { StoredColumn } from './destination-kind.ts'

export function exactTerm({ name, type }: StoredColumn): string {
  const quoted = quoteIdentifier(name)
  const { kind } = type.kind === 'array' ? type.element : type
  // The engine compares -0 and 0 as equal; their texts differ, and each float has one text.
  return kind === 'float32' || kind === 'float64' ? `CAST(${quoted} AS VARCHAR)` : quoted
}

/** One term for whole rows; compare with IS [NOT] DISTINCT FROM. */
export function exactRow(columns: readonly StoredColumn[]): string {
  return `row(${columns.map(exactTerm).join(', ')})`
}

/**
 * The value of a column in a group of rows that all have the same, or all that pass `filter`. Not
 * `any_value` for lists: that loses the sign of a zero inside.
 */
export function anyOf({ name, type }: StoredColumn, filter?: string): string {
  const quoted = quoteIdentifier(name)
  const where = filter === undefined ? '' : ` FILTER (WHERE ${filter})`
  return type.kind === 'array' ? `(list(${quoted})${where})[1]` : `any_value(${quoted})${where}`
}

/**
 * Condition for QUALIFY: the last row of each group. Not `row_number() = 1`, which the engine turns
 * into an aggregate that loses the sign of zeros.
 */
export function isLast(groups: string, order: string): string {
  return `lead(1) OVER (PARTITION BY ${groups} ORDER BY ${order}) IS NULL`
}

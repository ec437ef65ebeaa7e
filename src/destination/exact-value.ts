/**
 * SQL terms that are equal exactly when two cells hold the same value as the source tells it: -0 is
 * not 0, every NaN is the same, NULL is left to the comparison.
 */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { StoredColumn } from './destination-kind.ts'

export function exactTerm({ name, type }: StoredColumn): string {
  const quoted = quoteIdentifier(name)
  // The engine compares -0 and 0 as equal; their texts differ, and each float has one text.
  return isFloat(type.kind === 'array' ? type.element : type)
    ? `CAST(${quoted} AS VARCHAR)`
    : quoted
}

function isFloat(type: CanonicalType | undefined): boolean {
  return type?.kind === 'float32' || type?.kind === 'float64'
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
 * The key as a window's partition, equal where the key is: the engine gives a column that it sorts
 * by back from the sort key, where -0 has become 0, so it sorts by terms of its own.
 */
export function partitionTerms(
  key: readonly string[],
  columns: readonly StoredColumn[],
): readonly string[] {
  return key.map((name) => {
    const type = columns.find((column) => column.name === name)?.type
    const quoted = quoteIdentifier(name)
    if (isFloat(type)) return `${quoted} + 0`
    if (type?.kind !== 'array' || !isFloat(type.element)) return quoted
    return `list_transform(${quoted}, lambda cell: cell + 0)`
  })
}

/**
 * Condition for QUALIFY: the last row of each group; see `partitionTerms`. Not `row_number() = 1`,
 * which the engine turns into an aggregate that loses the sign of zeros.
 */
export function isLast(groups: readonly string[], order: string): string {
  return `lead(1) OVER (PARTITION BY ${groups.join(', ')} ORDER BY ${order}) IS NULL`
}

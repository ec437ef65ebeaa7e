/** Values that a canonical type can not hold, and what a destination may do about them. Pure. */
import type { CanonicalType } from './canonical-type.ts'

/**
 * - fail: the table stops before such a value
 * - null: NULL
 * - clamp: the nearest value the type holds; NULL where there is none, as for NaN
 * - string: columns whose type may have such values are strings, with the text that the source writes
 * - quarantine: the row goes to a table of its own and is absent until a version of it fits
 */
export const unfitPolicies = ['fail', 'null', 'clamp', 'string', 'quarantine'] as const

export type UnfitPolicy = (typeof unfitPolicies)[number]

/** Whether a column's source type may have values that its canonical type can not hold. */
export function mayBeUnfit({ type }: { readonly type: CanonicalType }): boolean {
  switch (type.kind) {
    case 'decimal':
    case 'date':
    case 'timestamp':
    case 'timestamp_ntz':
    case 'array':
      return true
    default:
      return false
  }
}

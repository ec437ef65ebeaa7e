/** Whether a change says which row it means, as the identity of its table has it. Pure. */
import type { RelationBinding } from './relation.ts'
import { type TupleCells, unsentCell } from './tuple.ts'

/** Why an update or delete with this old tuple can not be followed; undefined when it can. */
export function unknownRow(
  { table, places }: RelationBinding,
  old: TupleCells | undefined,
): string | undefined {
  switch (table.schema.identity) {
    case 'insert-only':
      return 'an update or delete came for a table that is followed for its inserts alone'
    case 'full-row': {
      const isWhole = old !== undefined && !places.some((place) => old.starts[place] === unsentCell)
      return isWhole ? undefined : 'a change came without the whole row as it was'
    }
    default:
      return undefined
  }
}

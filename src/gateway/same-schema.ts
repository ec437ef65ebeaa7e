/** Whether two descriptions of a table mean the same, however their objects were made. */
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { SchemaChange } from '../source/change-sink.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { clashingColumn } from './change-columns.ts'

/** Same columns, types, nullability, key and identity, in the same order; a column made again is another one. */
export function isSameSchema(a: TableSchema, b: TableSchema): boolean {
  return (
    a === b ||
    ((a.identity ?? 'key') === (b.identity ?? 'key') &&
      a.columns.length === b.columns.length &&
      a.key.length === b.key.length &&
      a.key.every((name, at) => name === b.key[at]) &&
      a.columns.every((column, at) => {
        const other = b.columns[at]
        return (
          other !== undefined &&
          column.name === other.name &&
          column.sourceType === other.sourceType &&
          column.nullable === other.nullable &&
          isSameId(column.id, other.id) &&
          isSameType(column.type, other.type)
        )
      }))
  )
}

/** The same schema, of rows that lie in the same place. */
export function isSameRecord(a: TableSchema, b: TableSchema): boolean {
  const [before, after] = [a.storage, b.storage]
  return (
    isSameSchema(a, b) &&
    before?.file === after?.file &&
    before?.definition === after?.definition &&
    before?.labels === after?.labels &&
    before?.lastColumn === after?.lastColumn
  )
}

/** Nothing is known of a column whose id was not kept. */
function isSameId(a: string | undefined, b: string | undefined): boolean {
  return a === undefined || b === undefined || a === b
}

function isSameType(a: CanonicalType, b: CanonicalType): boolean {
  if (a.kind === 'decimal' && b.kind === 'decimal') {
    return a.precision === b.precision && a.scale === b.scale
  }
  if (a.kind === 'array' && b.kind === 'array') return isSameType(a.element, b.element)
  return a.kind === b.kind
}

/** Why the table has to be copied anew; undefined: the change can be followed as it is. */
export function stepProblem(
  present: TableSchema,
  next: TableSchema,
  change: SchemaChange,
): string | undefined {
  if (change.kind === 'new') return change.reason
  if (!isSameSchema(present, change.from)) return 'the table has a new schema'
  const clash = clashingColumn(next)
  if (clash !== undefined) return `the column "${clash}" has a name that staged changes use`
  const folded = new Set(next.columns.map(({ name }) => name.toLowerCase()))
  if (folded.size < next.columns.length) return 'two columns differ in case only'
  return undefined
}

/**
 * Which columns the stream speaks of, by their numbers, and whether a change of them left rows as
 * they are. The stream names columns only; the catalog has their numbers, but as they are now, which
 * may be later. Whatever these two do not tell for certain is answered with `new`. Pure.
 *
 * Numbers grow with every column a table gets and are never used again. So
 * - when no column that we know was dropped, the columns at any place in the log are those we know
 *   and then the later ones, in the order of their numbers, as many as there were;
 * - when none was added, those at any place in the log are among those we know.
 * When some were dropped and others added, a name may have meant one or the other.
 */
import { isDeepStrictEqual } from 'node:util'
import type { SourceColumn, TableSchema, TableStorage } from '../table-schema.ts'
import type { CatalogTable } from './discover.ts'

export interface NamedColumn {
  readonly name: string
  readonly typeOid: number
  readonly typmod: number
  /** `format_type()` */
  readonly formatted: string
}

export type ColumnsOutcome =
  /** `attnums` are those of the columns in order. `isNow`: the catalog has these very columns. */
  | { readonly kind: 'known'; readonly attnums: readonly string[]; readonly isNow: boolean }
  | { readonly kind: 'new'; readonly reason: string }

/** `columns`: as the stream announces them; undefined: as the catalog has them. */
export function identifyColumns(
  base: TableSchema,
  catalog: CatalogTable | undefined,
  columns: readonly NamedColumn[] | undefined,
): ColumnsOutcome {
  if (catalog === undefined) return identifyGone(base, columns)
  const before = base.columns.flatMap(({ id }) => (id === undefined ? [] : [Number(id)]))
  if (base.storage === undefined || before.length < base.columns.length) {
    return isNew('nothing is on record of which columns it had')
  }
  const { lastColumn } = base.storage
  const present = catalog.columns.map(({ attnum }) => Number(attnum))
  const live = new Set(catalog.attnums)
  const last = catalog.table.schema.storage?.lastColumn ?? 0
  const dropped = before.filter((attnum) => !present.includes(attnum))
  const hasLater = last > lastColumn
  if (dropped.length > 0 && hasLater) return isNew('columns were dropped and others added')
  for (let attnum = lastColumn + 1; attnum <= last; attnum++) {
    if (!live.has(attnum)) return isNew('a column was added and dropped')
  }
  if (present.some((attnum) => attnum <= lastColumn && !before.includes(attnum))) {
    return isNew('a generated column is an ordinary one now')
  }
  const isNow = columns === undefined || isSameList(columns, catalog.columns)
  if (isNow) return { kind: 'known', attnums: present.map(String), isNow: true }
  if (dropped.length === 0) {
    const attnums = present.slice(0, columns.length)
    if (columns.length < before.length || columns.length > present.length) {
      return isNew('the stream has other columns than the catalog')
    }
    return { kind: 'known', attnums: attnums.map(String), isNow: false }
  }
  return identifyGone(base, columns)
}

/** Without later columns: what looks like the columns we know is these. */
function identifyGone(
  base: TableSchema,
  columns: readonly NamedColumn[] | undefined,
): ColumnsOutcome {
  const isSame =
    columns?.length === base.columns.length &&
    base.columns.every(({ name, sourceType }, place) => {
      const column = columns[place]
      return column?.name === name && column.formatted === sourceType
    })
  if (!isSame) return isNew('the catalog has gone further than the stream')
  return { kind: 'known', attnums: base.columns.map(({ id }) => id ?? ''), isNow: false }
}

function isNew(reason: string): ColumnsOutcome {
  return { kind: 'new', reason }
}

/** The same names and types in the same order. */
export function isSameList(
  a: readonly Omit<NamedColumn, 'formatted'>[],
  b: readonly Omit<NamedColumn, 'formatted'>[],
): boolean {
  return (
    a.length === b.length &&
    a.every(({ name, typeOid, typmod }, place) => {
      const other = b[place]
      return other?.name === name && other.typeOid === typeOid && other.typmod === typmod
    })
  )
}

/** Every row may have been written anew, other than by VACUUM FULL, CLUSTER or TRUNCATE. */
export function isRewritten(
  before: TableStorage | undefined,
  now: TableStorage | undefined,
): boolean {
  if (before === undefined || now === undefined) return false
  return before.file !== now.file && before.definition !== now.definition
}

/** A label that values had has another text now, or a composite other attributes. */
export function isRelabelled(
  before: TableStorage | undefined,
  now: TableStorage | undefined,
): boolean {
  if (before?.labels === undefined || now === undefined || before.labels === now.labels)
    return false
  const labels = JSON.parse(now.labels ?? '{}') as Readonly<Record<string, string>>
  return Object.entries(JSON.parse(before.labels) as Readonly<Record<string, string>>).some(
    ([id, label]) => labels[id] !== undefined && labels[id] !== label,
  )
}

/** Why rows of `before` are not rows of `after`; both have ids. undefined: they are. */
export function stepProblem(before: TableSchema, after: TableSchema): string | undefined {
  const idsOfKey = (schema: TableSchema): string =>
    schema.key
      .map((name) => schema.columns.find((column) => column.name === name)?.id ?? '?')
      .join(' ')
  if (before.identity !== after.identity) return 'its rows are told apart in another way'
  if (idsOfKey(before) !== idsOfKey(after)) return 'the table has another key'
  for (const column of after.columns) {
    const old = before.columns.find(({ id }) => id === column.id)
    if (old !== undefined && !keepsValues(old, column)) {
      return old.sourceType === column.sourceType
        ? `column "${column.name}" is ${column.sourceType} with other values than before`
        : `column "${column.name}" was ${old.sourceType} and is ${column.sourceType}`
    }
  }
  return undefined
}

/** Without a rewrite of the table, each value has the same text and fits the new type. */
function keepsValues(before: SourceColumn, after: SourceColumn): boolean {
  // The same type may be held as another: the server spells money otherwise than it did.
  if (before.sourceType === after.sourceType && isDeepStrictEqual(before.type, after.type))
    return true
  const [from, to] = [familyOf(before.sourceType), familyOf(after.sourceType)]
  const isText = (family: string): boolean => family === 'text' || family === 'character varying'
  if (from !== to && !(isText(from) && isText(to))) return false
  const [a, b] = [before.type, after.type]
  if (a.kind === 'decimal' && b.kind === 'decimal') {
    return a.scale === b.scale && a.precision <= b.precision
  }
  return a.kind === b.kind && a.kind !== 'array'
}

/** `timestamp(3) with time zone` → `timestamp with time zone` */
function familyOf(sourceType: string): string {
  return sourceType.replace(/\([\d,\s-]+\)/, '')
}

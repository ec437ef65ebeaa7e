/** What a destination says about its table as it is now, whatever it keeps beside that. */
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { columnsOfDeltaSchema } from '../delta/table-schema.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { rowsOfConfiguration } from './destination-state.ts'
import {
  changeTypeColumn,
  endColumn,
  ownColumns,
  ordinalColumn,
  sequenceColumn,
  type DestinationKind,
  type StoredColumn,
} from './destination-kind.ts'
import { anyOf, exactTerm, isLast, partitionTerms } from './exact-value.ts'

/** `__SEQUENCE` and `__ORDINAL` as one number. */
const place = `(${sequenceColumn}::HUGEINT * 4294967296 + ${ordinalColumn})`

export interface CurrentRows {
  readonly kind: DestinationKind
  /** Those of the source. */
  readonly columns: readonly StoredColumn[]
  readonly key: readonly string[]
}

/** What the table's own log says it keeps. */
export function currentRowsOf({ metadata }: DeltaSnapshot): CurrentRows {
  const { kind, key } = rowsOfConfiguration(metadata.configuration)
  const own = new Set(ownColumns[kind].map(({ name }) => name))
  const columns = columnsOfDeltaSchema(metadata.schemaString)
  return { kind, key, columns: columns.filter(({ name }) => !own.has(name)) }
}

/** A relation of `columns`: the rows the table has now, out of `relation`, all live rows. */
export function currentRowsSql(relation: string, { kind, columns, key }: CurrentRows): string {
  const list = columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  if (kind === 'versions') return `(SELECT ${list} FROM ${relation} WHERE ${endColumn} IS NULL)`
  if (kind !== 'log') return `(SELECT ${list} FROM ${relation})`
  const live = `(SELECT * FROM ${relation} WHERE ${place} > coalesce(
    (SELECT max(${place}) FROM ${relation} WHERE ${changeTypeColumn} = 'truncate'), -4294967296))`
  if (key.length === 0) return foldMultiset(live, columns)
  const keys = partitionTerms(key, columns)
  return `(SELECT ${list} FROM (SELECT * FROM ${live} QUALIFY ${isLast(keys, place)})
    WHERE ${changeTypeColumn} <> 'delete')`
}

/** Rows without a key: as many equal ones as were inserted and not deleted. */
function foldMultiset(live: string, columns: readonly StoredColumn[]): string {
  const values = columns.map((column, n) => `${anyOf(column)} AS __sluice_c${n}`)
  const list = columns.map(({ name }, n) => `__sluice_c${n} AS ${quoteIdentifier(name)}`)
  return `(SELECT ${list.join(', ')} FROM (
    SELECT ${values.join(', ')},
      unnest(range(sum(CASE WHEN ${changeTypeColumn} = 'delete' THEN -1 ELSE 1 END)::BIGINT))
    FROM ${live} GROUP BY ${columns.map(exactTerm).join(', ')}))`
}

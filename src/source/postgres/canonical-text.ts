/**
 * The canonical text of cells (see `source/verification.ts`) as PostgreSQL SQL: the server's own
 * view of its rows, against which a destination is judged.
 */
import { balancedSql } from '../../base/balanced-sql.ts'
import type { CanonicalType } from '../../columnar/canonical-type.ts'
import { mayBeUnfit, type UnfitPolicy } from '../../columnar/unfit-policy.ts'
import type { SourceColumn, SourceTable } from '../table-schema.ts'
import { quoteIdentifier, quoteTable } from './sql-text.ts'

function inRange(cell: string, type: string): string {
  return `isfinite(${cell}) AND ${cell} >= ${type} '0001-01-01' AND ${cell} < ${type} '10000-01-01'`
}

/** The PostgreSQL type of the limits of what a destination's type holds. */
const calendarTypes = {
  date: 'date',
  timestamp: 'timestamptz',
  timestamp_ntz: 'timestamp',
} as const

const latest = { date: '9999-12-31', other: '9999-12-31 23:59:59.999999' }

/** The cell, or the nearest value that the destination's type holds. */
function clamped(cell: string, type: keyof typeof calendarTypes): string {
  const name = calendarTypes[type]
  const most = type === 'date' ? latest.date : latest.other
  return `CASE WHEN ${cell} < ${name} '0001-01-01' THEN ${name} '0001-01-01'
    WHEN ${cell} >= ${name} '10000-01-01' THEN ${name} '${most}' ELSE ${cell} END`
}

/** SQL condition: the cell is NULL or a value that the destination's type holds. */
function fits(cell: string, type: CanonicalType): string {
  switch (type.kind) {
    case 'date':
    case 'timestamp':
    case 'timestamp_ntz':
      return `(${cell} IS NULL OR (${inRange(cell, calendarTypes[type.kind])}))`
    case 'decimal':
      return `(${cell} IS NULL OR ${cell}::text NOT IN ('NaN', 'Infinity', '-Infinity'))`
    default:
      return 'true'
  }
}

function epochMicroseconds(cell: string, type: string): string {
  // In whole parts: before version 14 the server extracts them as floating-point numbers.
  const micros = `extract(epoch FROM date_trunc('second', ${cell}))::bigint * 1000000 + extract(microseconds FROM ${cell})::bigint % 1000000`
  return `CASE WHEN ${inRange(cell, type)} THEN (${micros})::text END`
}

/** SQL text expression of one cell; NULL when the cell is NULL or the destination holds it as NULL. */
function cellText(cell: string, type: CanonicalType): string {
  switch (type.kind) {
    case 'boolean':
      return `CASE WHEN ${cell} THEN 't' WHEN NOT ${cell} THEN 'f' END`
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
      return `${cell}::text`
    case 'float32':
      return `CASE WHEN ${cell} = 'NaN' THEN 'NaN' ELSE ('x' || encode(float4send(${cell}), 'hex'))::bit(32)::text END`
    case 'float64':
      return `CASE WHEN ${cell} = 'NaN' THEN 'NaN' ELSE ('x' || encode(float8send(${cell}), 'hex'))::bit(64)::text END`
    case 'decimal':
      return `CASE WHEN ${cell}::text NOT IN ('NaN', 'Infinity', '-Infinity')
        THEN trunc(${cell}::text::numeric * 1${'0'.repeat(type.scale)}::numeric)::text END`
    case 'string':
    case 'array':
      // format() calls the type's output function, which is what COPY and the log show; a cast to
      // text would strip the padding of char(n). IS NULL looks into a composite.
      return `CASE WHEN num_nulls(${cell}) = 0 THEN format('%s', ${cell}) END`
    case 'binary':
      return `encode(${cell}, 'hex')`
    case 'date':
      return `CASE WHEN ${inRange(cell, 'date')} THEN (${cell} - date '1970-01-01')::text END`
    case 'timestamp':
      return epochMicroseconds(cell, 'timestamptz')
    case 'timestamp_ntz':
      return epochMicroseconds(cell, 'timestamp')
    default:
      return type satisfies never
  }
}

/** The same for a destination with this policy. */
function cellTextUnder(policy: UnfitPolicy, { name, type, sourceType }: SourceColumn): string {
  const quoted = quoteIdentifier(name)
  // Its own text is spelled by a locale.
  const cell = sourceType === 'money' && type.kind === 'decimal' ? `${quoted}::numeric` : quoted
  if (!mayBeUnfit({ type })) return cellText(cell, type)
  if (policy === 'string') return cellText(cell, { kind: 'string' })
  if (policy === 'clamp' && type.kind in calendarTypes) {
    return cellText(`(${clamped(cell, type.kind as keyof typeof calendarTypes)})`, type)
  }
  return cellText(cell, type)
}

/** Framed text of the cells `c<n>` of the inner query. */
function framed(places: readonly number[]): string {
  if (places.length === 0) return `''`
  const cells = places.map(
    (n) => `CASE WHEN c${n} IS NULL THEN 'n' ELSE 'v' || octet_length(c${n}) || ':' || c${n} END`,
  )
  return balancedSql(cells, '||')
}

function columnNamed(table: SourceTable, name: string): SourceColumn {
  const column = table.schema.columns.find((candidate) => candidate.name === name)
  if (column === undefined) throw new RangeError(`no column "${name}" in ${table.name.table}`)
  return column
}

/** `SELECT key, digest` of every row; `digest` is the MD5 of the row's canonical text. */
function rowsSql(table: SourceTable, names: readonly string[], policy: UnfitPolicy): string {
  const columns = names.map((name) => columnNamed(table, name))
  const { key } = table.schema
  // Without a key a row is known by all its cells.
  const keyPlaces =
    key.length === 0 ? names.map((_, n) => n) : key.map((name) => names.indexOf(name))
  const cells = columns.map((column, n) => `${cellTextUnder(policy, column)} AS c${n}`)
  const conditions = columns
    .filter((column) => policy === 'quarantine' && mayBeUnfit(column))
    .map(({ name, type }) => fits(quoteIdentifier(name), type))
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')} `
  const named = quoteTable(table.name)
  const from = table.isPartitioned === true ? named : `ONLY ${named}`
  // OFFSET 0 keeps the planner from computing each text once per use.
  return `SELECT ${framed(keyPlaces)} AS key, md5(${framed(columns.map((_, n) => n))}) AS digest
    FROM (SELECT ${cells.join(', ')} FROM ${from} ${where}OFFSET 0) AS cells`
}

const bucketOfKey = `('x' || substr(md5(key), 1, 2))::bit(8)::int`

/** Columns: bucket, rows, sum (of signed 64-bit heads, before reduction modulo 2^64), as text. */
export function bucketDigestSql(
  table: SourceTable,
  columns: readonly string[],
  policy: UnfitPolicy = 'fail',
): string {
  return `SELECT ${bucketOfKey}::text AS bucket, count(*)::text AS rows,
    sum(('x' || substr(digest, 1, 16))::bit(64)::bigint)::text AS sum
    FROM (${rowsSql(table, columns, policy)} OFFSET 0) AS digests GROUP BY 1`
}

/** Columns: key, digest; only rows whose key falls into the given buckets. */
export function rowDigestSql(
  table: SourceTable,
  columns: readonly string[],
  options: { readonly buckets: readonly number[]; readonly policy?: UnfitPolicy },
): string {
  const { buckets, policy = 'fail' } = options
  return `SELECT key, digest FROM (${rowsSql(table, columns, policy)} OFFSET 0) AS digests
    WHERE ${bucketOfKey} IN (${buckets.join(', ')})`
}

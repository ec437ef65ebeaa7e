/** The canonical text of cells (see `source/verification.ts`) as DuckDB SQL over a destination table. */
import { balancedSql } from '../base/balanced-sql.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { quoteIdentifier } from '../engine/quote.ts'

/** SQL text expression of one non-NULL cell. */
function cellText(name: string, type: CanonicalType): string {
  const cell = quoteIdentifier(name)
  switch (type.kind) {
    case 'boolean':
      return `CASE WHEN ${cell} THEN 't' ELSE 'f' END`
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
      return `${cell}::VARCHAR`
    case 'float32':
    case 'float64':
      return `CASE WHEN isnan(${cell}) THEN 'NaN' ELSE ${cell}::BIT::VARCHAR END`
    case 'decimal':
      return `replace(${cell}::VARCHAR, '.', '')::HUGEINT::VARCHAR`
    case 'string':
      return cell
    case 'binary':
      return `lower(hex(${cell}))`
    case 'date':
      return `(${cell} - DATE '1970-01-01')::VARCHAR`
    case 'timestamp':
    case 'timestamp_ntz':
      return `epoch_us(${cell})::VARCHAR`
    case 'array':
      return `to_json(${cell})::VARCHAR`
    default:
      return type satisfies never
  }
}

export interface CanonicalColumn {
  readonly name: string
  readonly type: CanonicalType
}

/** SQL text expression of some columns of a row, each framed so that no two rows share a text. */
export function rowText(columns: readonly CanonicalColumn[]): string {
  const cells = columns.map(({ name, type }) => {
    const text = cellText(name, type)
    return `CASE WHEN ${quoteIdentifier(name)} IS NULL THEN 'n' ELSE 'v' || strlen(${text}) || ':' || ${text} END`
  })
  return cells.length === 0 ? `''` : balancedSql(cells, '||')
}

/** One row per non-empty bucket: bucket, rows, sum (before reduction modulo 2^64). */
export function bucketDigestSql(
  relation: string,
  key: readonly CanonicalColumn[],
  columns: readonly CanonicalColumn[],
): string {
  return `SELECT bucket, count(*) AS rows, sum(head) AS sum FROM (
    SELECT ('0x' || substr(md5(${rowText(key)}), 1, 2))::INTEGER AS bucket,
      ('0x' || substr(md5(${rowText(columns)}), 1, 16))::UBIGINT::HUGEINT AS head
    FROM ${relation} AS live
  ) GROUP BY bucket`
}

/** One row per row of the given buckets: key, digest. */
export function rowDigestSql(
  relation: string,
  options: {
    readonly key: readonly CanonicalColumn[]
    readonly columns: readonly CanonicalColumn[]
    readonly buckets: readonly number[]
  },
): string {
  const { key, columns, buckets } = options
  return `SELECT key, digest FROM (
    SELECT ${rowText(key)} AS key, md5(${rowText(columns)}) AS digest FROM ${relation} AS live
  ) WHERE ('0x' || substr(md5(key), 1, 2))::INTEGER IN (${buckets.join(', ')})`
}

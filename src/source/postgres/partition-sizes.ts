/** Rows and bytes of partitioned tables: the sum of their partitions, by the server's statistics. */
import type { SourceTable } from '../table-schema.ts'
import type { Control } from './control.ts'
import { partitionTreeSql } from './partition-tree.ts'
import { idArray } from './sql-text.ts'

/** No function that locks a partition: one that is being truncated would hold everybody up. */
const sizesSql = `
  SELECT t.root, sum(greatest(c.reltuples, 0))::bigint::text AS rows,
    (sum(c.relpages::bigint + coalesce(x.relpages, 0)) * current_setting('block_size')::int)::text AS bytes,
    bool_or(c.reltuples > 0 OR c.relpages > 0) AS is_known
  FROM (${partitionTreeSql('$1::oid[]')}) t
  JOIN pg_class c ON c.oid::text = t.node AND c.relkind <> 'p'
  LEFT JOIN pg_class x ON x.oid = c.reltoastrelid
  GROUP BY t.root`

/** `tables` with estimates for those that are partitioned. */
export async function withPartitionSizes(
  control: Pick<Control, 'query'>,
  tables: readonly SourceTable[],
): Promise<readonly SourceTable[]> {
  const roots = tables.filter(({ isPartitioned }) => isPartitioned === true).map(({ id }) => id)
  if (roots.length === 0) return tables
  const sizes = new Map<string, { readonly rows: number; readonly bytes: number }>()
  for (const row of await control.query(sizesSql, [idArray(roots)])) {
    if (row['is_known'] !== 't') continue
    sizes.set(row['root'] ?? '', { rows: Number(row['rows']), bytes: Number(row['bytes']) })
  }
  return tables.map((table) => {
    const size = sizes.get(table.id)
    if (size === undefined) return table
    return { ...table, estimatedRows: size.rows, estimatedBytes: size.bytes }
  })
}

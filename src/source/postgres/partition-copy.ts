/** The partitions of a table as the snapshot of a copy shows them, each to be read by itself. */
import type { SourceTable } from '../table-schema.ts'
import type { CopiedRelation } from './copy-chunks.ts'
import { nodeOf, type PartitionTree, partitionTreeSql } from './partition-tree.ts'
import { quoteTable } from './sql-text.ts'
import type { WireConnection } from './wire/wire-connection.ts'

export interface ShownPartitions {
  readonly tree: PartitionTree
  /** At least one, which may be the root itself: a copy without a chunk would have no end. */
  readonly relations: readonly CopiedRelation[]
}

const fields = [
  ...(['node', 'parent', 'kind', 'schema', 'name', 'file'] as const),
  ...(['attached', 'placed_by', 'is_born', 'is_logged', 'ended', 'next'] as const),
]

function shownSql(root: string): string {
  return `SELECT t.${fields.join(', t.')},
      pg_relation_size(t.node::oid, 'main')::text,
      EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'
        AND l.relation = t.node::oid)
    FROM (${partitionTreeSql(`ARRAY[${root}]::oid[]`)}) t`
}

/**
 * Under the snapshot of `leader`, which has locked the table with all its partitions. undefined: a
 * partition that the snapshot shows came after the lock, so nothing keeps it as it is.
 */
export async function shownPartitions(
  leader: WireConnection,
  table: SourceTable,
  name: string,
  blockBytes: number,
): Promise<ShownPartitions | undefined> {
  const rows = await leader.query(shownSql(table.id), `looking at the partitions of ${name}`)
  const nodes: PartitionTree['nodes'][number][] = []
  const relations: CopiedRelation[] = []
  let ended = 0n
  for (const cells of rows) {
    const row = Object.fromEntries(fields.map((field, place) => [field, cells[place] ?? null]))
    const [bytes, isLocked] = cells.slice(fields.length)
    ended = BigInt(row['ended'] ?? '0')
    if (row['node'] === null) continue
    if (isLocked !== 't') return undefined
    const node = nodeOf(row)
    nodes.push(node)
    if (node.kind === 'p') continue
    const blocks = Math.ceil(Number(bytes) / blockBytes)
    relations.push({ relation: node.id, filenode: node.file, name: quoteTable(node), blocks })
  }
  const root = { relation: table.id, filenode: '0', name, blocks: 0 }
  return {
    tree: { root: table.id, nodes, ended },
    relations: relations.length === 0 ? [root] : relations,
  }
}

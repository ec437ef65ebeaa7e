/**
 * Which partitions a partitioned table has, as the catalog knows it, and a short record of that by
 * which a later look tells whether partitions came or went: attaching, detaching and dropping one
 * moves rows without any row event in the log.
 */
import { createHash } from 'node:crypto'
import type { TableId } from '../table-schema.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import { idArray } from './sql-text.ts'

/** One table below a partitioned one. */
export interface PartitionNode {
  readonly id: TableId
  /** One level up. */
  readonly parent: TableId
  /** `pg_class.relkind`: r ordinary, p partitioned itself, f foreign. Only the others hold rows. */
  readonly kind: string
  readonly schema: string
  readonly table: string
  /** What changes in it is in the log. */
  readonly isLogged: boolean
  /** `pg_class.relfilenode`: another one after TRUNCATE and after a rewrite; 0 when there is none. */
  readonly file: string
  /** The 32-bit id of the (sub)transaction that last changed its entry in pg_class. */
  readonly placedBy: number
  /** 64-bit id of the (sub)transaction that attached it. */
  readonly attachedBy: bigint
  /** The same (sub)transaction made it: nobody else ever saw it as a table of its own. */
  readonly isBorn: boolean
}

export interface PartitionTree {
  readonly root: TableId
  readonly nodes: readonly PartitionNode[]
  /** Every transaction below this 64-bit id had ended when the tree was read. */
  readonly ended: bigint
}

/** What is kept of a tree between runs. A few bytes, however many partitions there are. */
export interface PartitionRecord {
  /** Of every node. */
  readonly sum: string
  /** Every node attached by an earlier transaction is part of `sum`. */
  readonly before: string
  /** Nodes that are part of `sum` although a later transaction attached them. */
  readonly recent: readonly string[]
  /** Where the rows of the leaves lie that no publication names; absent where `sum` has it. */
  readonly files?: string
}

/** By the id of the root. */
export type PartitionRecords = Readonly<Record<string, PartitionRecord>>

/** Root ids that are no partitioned tables have no entry. */
export async function readPartitionTrees(
  control: Pick<Control, 'query'>,
  roots: readonly TableId[],
): Promise<ReadonlyMap<TableId, PartitionTree>> {
  const trees = new Map<TableId, PartitionTree & { readonly nodes: PartitionNode[] }>()
  if (roots.length === 0) return trees
  for (const row of await control.query(partitionTreeSql('$1::oid[]'), [idArray(roots)])) {
    const root = row['root'] as TableId
    const ended = BigInt(row['ended'] ?? '0')
    const tree = trees.get(root) ?? { root, nodes: [], ended }
    trees.set(root, tree)
    if (row['node'] !== null) tree.nodes.push(nodeOf(row))
  }
  return trees
}

/**
 * One row for a node, and one with a NULL node for a root without any. `roots` is an SQL array. A
 * partition being detached concurrently is none any more to whoever reads the root.
 */
export function partitionTreeSql(roots: string): string {
  return `
  WITH RECURSIVE edges AS (
    SELECT inhrelid, inhparent, xmin AS attached FROM pg_inherits i
    WHERE to_jsonb(i) ->> 'inhdetachpending' IS DISTINCT FROM 'true'
  ), tree AS (
    SELECT e.inhparent AS root, e.* FROM edges e WHERE e.inhparent = ANY (${roots})
    UNION ALL
    SELECT t.root, e.* FROM tree t JOIN edges e ON e.inhparent = t.inhrelid
  )
  SELECT r.oid::text AS root, c.oid::text AS node, t.inhparent::text AS parent, c.relkind AS kind,
    n.nspname AS schema, c.relname AS name, coalesce(pg_relation_filenode(c.oid), 0)::text AS file,
    t.attached::text AS attached, c.xmin::text AS placed_by, c.relpersistence = 'p' AS is_logged,
    (SELECT y.xmin = t.attached FROM pg_type y WHERE y.oid = c.reltype) AS is_born,
    pg_snapshot_xmin(pg_current_snapshot())::text AS ended,
    pg_snapshot_xmax(pg_current_snapshot())::text AS next
  FROM pg_class r
  LEFT JOIN (tree t JOIN pg_class c ON c.oid = t.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace)
    ON t.root = r.oid
  WHERE r.oid = ANY (${roots}) AND r.relkind = 'p'
  ORDER BY r.oid, c.oid`
}

export function nodeOf(row: ControlRow): PartitionNode {
  return {
    id: row['node'] as TableId,
    parent: row['parent'] as TableId,
    kind: row['kind'] ?? '',
    schema: row['schema'] ?? '',
    table: row['name'] ?? '',
    isLogged: row['is_logged'] === 't',
    file: row['file'] ?? '0',
    placedBy: Number(row['placed_by'] ?? 0),
    attachedBy: fullXid(Number(row['attached']), BigInt(row['next'] ?? '0')),
    isBorn: row['is_born'] === 't',
  }
}

/** The newest 64-bit id below `next` that ends in `short`. */
function fullXid(short: number, next: bigint): bigint {
  const epoch = next & ~0xffffffffn
  const id = epoch | BigInt(short >>> 0)
  return id < next ? id : id - 0x1_0000_0000n
}

/** Those that hold rows. */
export function leavesOf(tree: PartitionTree): readonly PartitionNode[] {
  return tree.nodes.filter(({ kind }) => kind !== 'p')
}

/** `withFiles`: also a leaf that was truncated or rewritten counts as another one. */
function keyOf(node: PartitionNode, withFiles: boolean): string {
  const edge = `${node.id}.${node.parent}.${node.attachedBy}${node.isLogged ? '' : '.unlogged'}`
  return withFiles && node.kind !== 'p' ? `${edge}.${node.file}` : edge
}

function sumOf(keys: readonly string[]): string {
  const text = keys.toSorted().join(',')
  return createHash('sha256').update(text).digest('hex').slice(0, 20)
}

/** Where the rows of these leaves lie. */
export function filesOf(leaves: readonly PartitionNode[]): string {
  return sumOf(leaves.map(({ id, file }) => `${id}.${file}`))
}

/** `unknown`: ids of nodes that the record is not to know yet. */
export function recordOf(
  tree: PartitionTree,
  withFiles: boolean,
  unknown: ReadonlySet<TableId> = new Set(),
): PartitionRecord {
  let before = tree.ended
  for (const { id, attachedBy } of tree.nodes) {
    if (unknown.has(id) && attachedBy < before) before = attachedBy
  }
  const known = tree.nodes.filter(({ id }) => !unknown.has(id))
  const recent = known.filter(({ attachedBy }) => attachedBy >= before)
  return {
    sum: sumOf(known.map((node) => keyOf(node, withFiles))),
    before: before.toString(),
    recent: recent.map((node) => keyOf(node, withFiles)),
  }
}

export type TreeDifference =
  /** Nothing of what the record knows has gone; these nodes are new. */
  | { readonly kind: 'grown'; readonly added: readonly PartitionNode[] }
  /** Something has gone, moved or was attached anew. */
  | { readonly kind: 'changed' }

export function compareTree(
  record: PartitionRecord,
  tree: PartitionTree,
  withFiles: boolean,
): TreeDifference {
  const before = BigInt(record.before)
  const recent = new Set(record.recent)
  const isKnown = (node: PartitionNode): boolean =>
    node.attachedBy < before || recent.has(keyOf(node, withFiles))
  const known = tree.nodes.filter(isKnown).map((node) => keyOf(node, withFiles))
  if (sumOf(known) !== record.sum) return { kind: 'changed' }
  return { kind: 'grown', added: tree.nodes.filter((node) => !isKnown(node)) }
}

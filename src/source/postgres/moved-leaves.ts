/**
 * Leaves of partitioned tables whose rows lie in a new file. The server lets a leaf become unlogged
 * that no publication names itself; when it is logged again before anybody looks, a new file is all
 * that shows. Only once the stream has passed the look is it known whether that came of a TRUNCATE.
 */
import type { TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import { publicationNamesOf } from './insert-publication.ts'
import type { Lsn } from './lsn.ts'
import { filesOf, leavesOf, type PartitionNode, type PartitionTree } from './partition-tree.ts'
import { idArray, textArray } from './sql-text.ts'
import type { ToldTruncates } from './told-truncates.ts'
import { endOfLog } from './wal-flush.ts'

export interface MovedLeavesOptions {
  readonly control: Control
  readonly publicationName: string
  readonly truncates: Pick<ToldTruncates, 'has'>
}

export interface JudgedMove {
  readonly root: TableId
  /** The record's from now on; undefined: nothing explains the move. */
  readonly files: string | undefined
}

export class MovedLeaves {
  readonly #options: MovedLeavesOptions
  /** Leaves that a publication of ours names: the server refuses to make them unlogged. */
  #named: ReadonlySet<string> = new Set()
  /** By root: what has other files than its record. */
  readonly #moved = new Map<
    TableId,
    { readonly leaves: readonly PartitionNode[]; readonly lsn: Lsn }
  >()
  /** The stream has told a gap itself, and the copy is still to come. */
  readonly #told = new Set<TableId>()

  constructor(options: MovedLeavesOptions) {
    this.#options = options
  }

  clear(): void {
    this.#moved.clear()
    this.#told.clear()
  }

  /** Which leaves are named by now. */
  async look(trees: ReadonlyMap<TableId, PartitionTree>): Promise<void> {
    const { control, publicationName } = this.#options
    const leaves = [...trees.values()].flatMap((tree) => leavesOf(tree).map(({ id }) => id))
    const rows = await control.query(
      `SELECT r.prrelid::text AS id FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        WHERE p.pubname = ANY ($1::name[]) AND r.prrelid = ANY ($2::oid[])`,
      [textArray(publicationNamesOf(publicationName)), idArray(leaves)],
    )
    this.#named = new Set(rows.map((row) => row['id'] ?? ''))
  }

  /** For the record of a tree; `isKnown`: the record has the node. */
  files(tree: PartitionTree, isKnown: (node: PartitionNode) => boolean): string {
    return filesOf(this.#movable(tree, isKnown))
  }

  #movable(tree: PartitionTree, isKnown: (node: PartitionNode) => boolean): PartitionNode[] {
    return leavesOf(tree).filter((node) => !this.#named.has(node.id) && isKnown(node))
  }

  /** `files`: of the record, which has all nodes but `added`. */
  async compare(
    files: string | undefined,
    tree: PartitionTree,
    added: readonly PartitionNode[],
  ): Promise<void> {
    if (files === undefined || this.#moved.has(tree.root)) return
    const leaves = this.#movable(tree, (node) => !added.includes(node))
    if (filesOf(leaves) === files) return
    this.#moved.set(tree.root, { leaves, lsn: await endOfLog(this.#options.control) })
  }

  /** Not judged yet: the record has to stay as it is. */
  has(root: TableId): boolean {
    return this.#moved.has(root)
  }

  /** The stream has told that the table is to be copied, for some of its leaves were truncated. */
  told(root: TableId): void {
    this.#told.add(root)
  }

  /** The table is copied anew anyway. */
  forget(root: TableId): void {
    this.#moved.delete(root)
  }

  copied(root: TableId): void {
    this.#moved.delete(root)
    this.#told.delete(root)
  }

  /** The stream has delivered everything before `lsn`. */
  passed(lsn: Lsn): readonly JudgedMove[] {
    const judged: JudgedMove[] = []
    for (const [root, moved] of this.#moved) {
      if (moved.lsn > lsn) continue
      this.#moved.delete(root)
      const { truncates } = this.#options
      const isTold =
        this.#told.has(root) ||
        moved.leaves.every(({ id, placedBy }) => truncates.has(id, placedBy))
      judged.push({ root, files: isTold ? filesOf(moved.leaves) : undefined })
    }
    return judged
  }
}

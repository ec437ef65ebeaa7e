/**
 * A new partition, until it is known whether the stream delivered each of its rows. The rows that a
 * snapshot shows are those it had where the stream began, and what the transactions that the
 * snapshot shows have added and removed since: that sum tells whether it had any. The stream goes on
 * while they are counted, so what it delivers meanwhile is kept by transaction.
 */
import type { TableId } from '../table-schema.ts'
import type { Lsn } from './lsn.ts'
import type { PartitionNode } from './partition-tree.ts'
import { isVisible, type ShownIds } from './snapshot-point.ts'

export interface ShownRows {
  readonly rows: bigint
  readonly snapshot: ShownIds
}

export class UnprovenPartition {
  readonly root: TableId
  readonly node: PartitionNode
  /** Nobody waits for an answer any more. */
  isOver = false
  #counted: { readonly shown: ShownRows; readonly lsn: Lsn } | undefined
  /** Rows by 32-bit transaction id, until they are counted. */
  readonly #early = new Map<number, bigint>()
  #added = 0n

  constructor(root: TableId, node: PartitionNode) {
    this.root = root
    this.node = node
  }

  /** `lsn`: once the stream has delivered everything before it, it has delivered all that is shown. */
  counted(shown: ShownRows, lsn: Lsn): void {
    this.#counted = { shown, lsn }
    for (const [xid, rows] of this.#early) if (isVisible(shown.snapshot, xid)) this.#added += rows
    this.#early.clear()
  }

  /** The stream delivers a row that was added to the partition, or removed from it. */
  note(xid: number, kind: 'added' | 'removed'): void {
    const row = kind === 'added' ? 1n : -1n
    if (this.#counted === undefined) this.#early.set(xid, (this.#early.get(xid) ?? 0n) + row)
    else if (isVisible(this.#counted.shown.snapshot, xid)) this.#added += row
  }

  /** The stream has delivered everything before `lsn`; undefined: that is not enough to tell. */
  judge(lsn: Lsn): 'proven' | 'had rows' | undefined {
    if (this.#counted === undefined || this.#counted.lsn > lsn) return undefined
    return this.#added === this.#counted.shown.rows ? 'proven' : 'had rows'
  }
}

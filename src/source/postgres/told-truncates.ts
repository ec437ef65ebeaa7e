/**
 * Which transactions truncated a relation, as the log told. The catalog names the transaction that
 * last changed the entry of a relation: when that one truncated it, no row lies there that the log
 * did not bring since, wherever the rows lay before.
 */

/** Of one relation; what is forgotten makes a copy that was not needed. */
const mostKept = 100

export class ToldTruncates {
  /** By the relation's oid. */
  readonly #xids = new Map<number, number[]>()

  /** `xid`: of the transaction as the log names it, 32 bits. */
  note(oid: number, xid: number): void {
    const xids = this.#xids.get(oid) ?? []
    xids.push(xid)
    if (xids.length > mostKept) xids.shift()
    this.#xids.set(oid, xids)
  }

  /** `xid`: see `PartitionNode.placedBy`. */
  has(oid: string, xid: number): boolean {
    return this.#xids.get(Number(oid))?.includes(xid) === true
  }
}

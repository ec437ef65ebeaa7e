/** Positions of a stream with the mark of the last transaction that brought changes. */
import type { Position } from '../source.ts'
import type { Lsn } from './lsn.ts'
import type { BeginMessage } from './pgoutput/decode.ts'
import { messageType } from './pgoutput/message-type.ts'
import { markOf, type PositionMark, toPosition } from './position.ts'

/** Of pgoutput: a message that changes rows. */
export function isChange(type: number | undefined): boolean {
  return (
    type === messageType.insert ||
    type === messageType.update ||
    type === messageType.delete ||
    type === messageType.truncate
  )
}

export class PositionMarks {
  #mark: PositionMark | undefined
  #begun: BeginMessage | undefined
  #hasChanges = false

  constructor(from: Position) {
    this.#mark = markOf(from)
  }

  begin(message: BeginMessage): void {
    this.#begun = message
    this.#hasChanges = false
  }

  /** A message of the transaction that began last; cheap, because it is asked of every one. */
  message(type: number | undefined): void {
    if (!this.#hasChanges && isChange(type)) this.#hasChanges = true
  }

  /** The position at `lsn`; after a transaction with changes that is its end. */
  readonly at = (lsn: bigint): Position => {
    const begun = this.#begun
    if (begun !== undefined && this.#hasChanges) {
      const { finalLsn, xid, commitTimeUs } = begun
      this.#mark = { finalLsn: finalLsn as Lsn, endLsn: lsn as Lsn, xid, commitTimeUs }
      this.#begun = undefined
      this.#hasChanges = false
    }
    return toPosition(lsn, this.#mark)
  }
}

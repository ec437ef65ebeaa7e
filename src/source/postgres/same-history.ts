/**
 * Whether the log that a slot still has is the one that was read from it. A copy of the server's
 * files, started, is another server with the same system identifier and timeline (a snapshot of the
 * volume that was restored, a clone): it begins with the same log and goes on with another one.
 *
 * Its slot then stands before our position, because what is confirmed there was read before the copy
 * was made. After a crash a true server's does so too; only then is the log read once more from the
 * last change on, as far as our position: it has to bring that transaction, and no other.
 */
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { Position } from '../source.ts'
import { publicationsFrom } from './insert-publication.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { type BeginMessage, readBegin } from './pgoutput/decode.ts'
import { messageType } from './pgoutput/message-type.ts'
import { fromPosition, markOf, type PositionMark } from './position.ts'
import { isChange } from './position-marks.ts'
import type { SlotState } from './replication-slot.ts'
import { sqlStateOf } from './server-error.ts'
import { readShortly, type ShortStream } from './short-stream.ts'
import { expectSlot, explainStreamError } from './stream-slot.ts'
import type { ReplicationHandler } from './wire/replication-connection.ts'

export interface HistoryOptions extends Omit<ShortStream, 'publicationNames'> {
  readonly log: Log
  readonly publicationName: string
}

/** Reads transactions up to `position`; afterwards `difference` says what is not as it was read. */
export class HistoryReader implements ReplicationHandler {
  readonly #mark: PositionMark
  readonly #position: Lsn
  readonly #done: () => void
  #isMet: boolean
  #open: BeginMessage | undefined
  difference: string | undefined

  /** `isAwaited`: the transaction of the mark is to come. */
  constructor(how: {
    readonly mark: PositionMark
    readonly position: Lsn
    readonly isAwaited: boolean
    readonly done: () => void
  }) {
    this.#mark = how.mark
    this.#position = how.position
    this.#isMet = !how.isAwaited
    this.#done = how.done
  }

  data(bytes: Buffer, start: number, end: number): undefined {
    const type = bytes[start]
    if (type === messageType.begin) this.#begin(readBegin(bytes, start, end))
    else if (this.#open !== undefined && isChange(type)) this.#changed(this.#open)
  }

  keepalive(walEnd: Lsn): void {
    if (walEnd >= this.#position) this.#end()
  }

  readDone(): undefined {
    return undefined
  }

  #begin(message: BeginMessage): void {
    this.#open = message
    if (message.finalLsn >= this.#position) this.#end()
    else if (message.finalLsn === this.#mark.finalLsn && !this.#isMet) this.#meet(message)
  }

  #meet({ xid, commitTimeUs }: BeginMessage): void {
    this.#isMet = true
    this.#open = undefined
    if (xid !== this.#mark.xid || commitTimeUs !== this.#mark.commitTimeUs) this.#end(this.#missing)
    else if (this.#mark.endLsn >= this.#position) this.#end()
  }

  #changed({ finalLsn, xid }: BeginMessage): void {
    if (finalLsn <= this.#mark.finalLsn) return
    const other = `transaction ${xid}, committed at ${formatLsn(finalLsn as Lsn)}, was not there`
    this.#end(this.#isMet ? other : this.#missing)
  }

  get #missing(): string {
    const { finalLsn, xid } = this.#mark
    return `transaction ${xid}, committed at ${formatLsn(finalLsn)}, is not there any more`
  }

  #end(difference?: string): void {
    this.difference ??= difference ?? (this.#isMet ? undefined : this.#missing)
    this.#open = undefined
    this.#done()
  }
}

/** The publication was not there at that place: whoever reads on has a gap of all its tables. */
const undefinedObject = '42704'

/**
 * Throws SOURCE_INCARNATION_CHANGED when the log up to `saved` is not the one that was read. Says
 * nothing when there was no publication there. True when the log was read, and is the same; throws also
 * what kept it from being read.
 */
export async function expectSameHistory(
  how: HistoryOptions,
  saved: Position,
  slot: SlotState,
): Promise<boolean> {
  const position = fromPosition(saved)
  const mark = markOf(saved)
  const { confirmedLsn } = slot
  if (mark === undefined || confirmedLsn === undefined || confirmedLsn >= position) return false
  const from = mark.xid === 0 ? mark.endLsn : mark.finalLsn
  const publicationNames = await publicationsFrom(how.control, how.publicationName, from)
  const of = { ...how, publicationNames }
  await expectSlot(of, position)
  try {
    const isAwaited = mark.xid !== 0 && confirmedLsn <= mark.finalLsn
    const doing = `reading slot "${how.slotName}" once more`
    const { difference } = await readShortly(of, from, doing, (replication) => {
      return new HistoryReader({ mark, position, isAwaited, done: () => replication.stop() })
    })
    if (difference === undefined) return true
    throw new SluiceError(
      'SOURCE_INCARNATION_CHANGED',
      `The log of the source is another one before ${formatLsn(position)}, where our data ends: ${difference}. The server was set back to an earlier state, or is a copy of the one that was read`,
    )
  } catch (error) {
    if (sqlStateOf(error) !== undefinedObject) throw await explainStreamError(error, of, position)
    how.log.debug('the log could not be read once more', { error: String(error) })
    return false
  }
}

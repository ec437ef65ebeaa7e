/** Timelines: where the history of a promoted server left the one that we read (pure). */
import { SluiceError } from '../../base/errors.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'

/**
 * Where the log of `timeline` ends in the history of another one: `history` is a timeline history
 * file, one line for each earlier timeline: its number, the LSN where it was left, why (PostgreSQL
 * source, timeline.c). undefined: `timeline` is no part of that history.
 */
export function leftAt(history: string, timeline: string): Lsn | undefined {
  for (const line of history.split('\n')) {
    const [number, lsn] = line.trim().split(/\s+/)
    if (number === timeline && lsn !== undefined) return parseLsn(lsn)
  }
  return undefined
}

export interface TimelineChange {
  readonly from: string
  readonly to: string
  /** Of the timeline `to`. */
  readonly history: string
  /** End of the last transaction that is durably staged, on the timeline `from`. */
  readonly position: Lsn
}

export interface Continuation {
  /** The LSN up to which both timelines are the same log. */
  readonly branch: Lsn
  /**
   * Our position is later: what stands between was read from the old timeline, and the present server
   * never had it, or from the present one while it was promoted.
   */
  readonly beyond: SluiceError | undefined
}

/** Throws SOURCE_INCARNATION_CHANGED when the present timeline has nothing of ours. */
export function continuationOf({ from, to, history, position }: TimelineChange): Continuation {
  const branch = leftAt(history, from)
  if (branch === undefined) {
    throw new SluiceError(
      'SOURCE_INCARNATION_CHANGED',
      `The source is on timeline ${to} now, whose history does not contain timeline ${from} that was read before`,
    )
  }
  if (position <= branch) return { branch, beyond: undefined }
  const text = `Timeline ${to} of the source left timeline ${from} at ${formatLsn(branch)}, and our data ends at ${formatLsn(position)}: it has ${String(position - branch)} bytes of log that the present server never had`
  return { branch, beyond: new SluiceError('SOURCE_INCARNATION_CHANGED', text) }
}

/**
 * Throws `beyond` unless its data is of the present timeline. A slot is confirmed behind the branch
 * only by what was read from this server after its promotion; `isSame`: the log between its place
 * and ours was read again, and is what was read before.
 */
export function expectReadOn(
  { branch, beyond }: Continuation,
  confirmedLsn: Lsn | undefined,
  isSame: boolean,
): void {
  const wasReadHere = confirmedLsn !== undefined && confirmedLsn > branch
  if (beyond !== undefined && !wasReadHere && !isSame) throw beyond
}

/** Both timelines are the same log up to here, as far as anything was read of the former one. */
export function sameUpTo({ branch }: Continuation, position: Lsn): Lsn {
  return position > branch ? position : branch
}

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

/**
 * The LSN up to which both timelines are the same log, no earlier than our position. Throws
 * SOURCE_INCARNATION_CHANGED when we have read what the present timeline never had.
 */
export function expectContinued({ from, to, history, position }: TimelineChange): Lsn {
  const branch = leftAt(history, from)
  if (branch === undefined) {
    throw new SluiceError(
      'SOURCE_INCARNATION_CHANGED',
      `The source is on timeline ${to} now, whose history does not contain timeline ${from} that was read before`,
    )
  }
  if (branch < position) {
    throw new SluiceError(
      'SOURCE_INCARNATION_CHANGED',
      `Timeline ${to} of the source left timeline ${from} at ${formatLsn(branch)}, and our data ends at ${formatLsn(position)}: it has ${String(position - branch)} bytes of log that the present server never had`,
    )
  }
  return branch
}

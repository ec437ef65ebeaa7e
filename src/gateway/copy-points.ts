/**
 * The points of a table's present copy: which of the stream's transactions it shows. A copy has one
 * point, and one more for every time it was resumed; each shows all that the earlier ones show.
 */
import type { TransactionInfo } from '../source/change-sink.ts'
import type { Position, SnapshotPoint } from '../source/source.ts'

/** `drop`: the whole copy shows the transaction. Else the newest resumption that does not show it. */
export type PointChoice = 'drop' | number

interface NumberedPoint {
  readonly resumption: number
  readonly point: SnapshotPoint
}

export class CopyPoints {
  readonly #resumption: number
  /** Those that what is staged is not past yet, ascending. */
  readonly #ahead: readonly NumberedPoint[]

  private constructor(resumption: number, ahead: readonly NumberedPoint[]) {
    this.#resumption = resumption
    this.#ahead = ahead
  }

  /** By resumption, from 0. */
  static of(points: readonly SnapshotPoint[]): CopyPoints {
    const numbered = points.map((point, resumption) => ({ resumption, point }))
    return new CopyPoints(Math.max(0, points.length - 1), numbered)
  }

  and(point: SnapshotPoint): CopyPoints {
    const resumption = this.#resumption + 1
    return new CopyPoints(resumption, [...this.#ahead, { resumption, point }])
  }

  /** Without those that everything before `position` is past. */
  passedBy(position: Position): CopyPoints {
    const ahead = this.#ahead.filter(({ point }) => !point.isPassedBy(position))
    return ahead.length === this.#ahead.length ? this : new CopyPoints(this.#resumption, ahead)
  }

  isPassedBy(position: Position): boolean {
    return this.#ahead.every(({ point }) => point.isPassedBy(position))
  }

  /** Nothing is ahead: every further transaction comes after the newest point. */
  get isPassed(): boolean {
    return this.#ahead.length === 0
  }

  choose(transaction: TransactionInfo): PointChoice {
    let choice = this.#resumption
    for (const { resumption, point } of this.#ahead.toReversed()) {
      if (!point.covers(transaction)) break
      choice = resumption - 1
    }
    return choice < 0 ? 'drop' : choice
  }
}

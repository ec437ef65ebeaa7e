import { expect, test } from 'vitest'
import type { Position, SnapshotPoint } from '../source/source.ts'
import { CopyPoints } from './copy-points.ts'

const at = (position: number): Position => String(position) as Position
const transaction = (tag: number) => ({ tag, commitTimeUs: 0n })
/** Shows the transactions up to `tag`; passed at `position`. */
const point = (tag: number, position: number): SnapshotPoint => ({
  covers: (other) => other.tag <= tag,
  isPassedBy: (place) => Number(place) >= position,
})

test('a transaction belongs after the newest point that does not show it', () => {
  const points = CopyPoints.of([point(10, 100), point(20, 200)]).and(point(30, 300))
  const choices = [5, 10, 11, 20, 21, 30, 31].map((tag) => points.choose(transaction(tag)))
  expect(choices).toEqual(['drop', 'drop', 0, 0, 1, 1, 2])
})

test('points that are passed are not asked any more, and still count', () => {
  const points = CopyPoints.of([point(10, 100), point(20, 200)])
  expect(points.passedBy(at(99))).toBe(points)
  const half = points.passedBy(at(100))
  // Ids come round again: a transaction with an old id is a new one by now.
  expect([5, 15, 25].map((tag) => half.choose(transaction(tag)))).toEqual([0, 0, 1])
  expect(half.isPassedBy(at(199))).toBe(false)
  const none = half.passedBy(at(200))
  expect(none.isPassed).toBe(true)
  expect(none.choose(transaction(5))).toBe(1)
  expect(none.and(point(40, 400)).choose(transaction(50))).toBe(2)
  expect(none.and(point(40, 400)).choose(transaction(40))).toBe(1)
})

import { expect, test } from 'vitest'
import { ReadPacer } from './read-pacer.ts'

test('ReadPacer does not make a lone message wait', () => {
  const pacer = new ReadPacer()
  for (const now of [1000, 1050, 2000, 2010]) expect(pacer.pauseAfter(100, now)).toBe(0)
})

test('ReadPacer pauses while small reads follow each other, at most 5 ms', () => {
  const pacer = new ReadPacer()
  expect(pacer.pauseAfter(400, 0)).toBe(0)
  let now = 0.1
  const pauses: number[] = []
  for (let i = 0; i < 6; i++) {
    const pause = pacer.pauseAfter(400, now)
    pauses.push(pause)
    now += pause
    pacer.resumed(now)
    now += 0.1
  }
  expect(pauses).toEqual([2, 3, 4, 5, 5, 5])
})

test('ReadPacer keeps a pause that gathers enough and drops it for very large reads', () => {
  const pacer = new ReadPacer()
  pacer.pauseAfter(400, 0)
  expect(pacer.pauseAfter(65_536, 0.1)).toBe(2)
  pacer.resumed(2.2)
  expect(pacer.pauseAfter(65_536, 2.3)).toBe(2)
  pacer.resumed(4.4)
  expect(pacer.pauseAfter(400_000, 4.5)).toBe(0)
})

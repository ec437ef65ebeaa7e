import { expect, test } from 'vitest'
import type { Position } from '../source.ts'
import { parseLsn } from './lsn.ts'
import { fromPosition, markOf, markOfBegin, toPosition } from './position.ts'

const lsn = parseLsn('1A/2B3C4D58')

test('a position keeps its place and its mark', () => {
  const mark = {
    finalLsn: parseLsn('1A/2B3C0000'),
    endLsn: parseLsn('1A/2B3C0030'),
    xid: 4294967295,
    commitTimeUs: 1_764_000_000_123_456n,
  }
  for (const one of [mark, { ...mark, commitTimeUs: -5n }, markOfBegin(lsn)]) {
    const position = toPosition(lsn, one)
    expect(fromPosition(position)).toBe(lsn)
    expect(markOf(position)).toEqual(one)
  }
})

test('a position without a mark is only a place', () => {
  expect(toPosition(lsn)).toBe('1A/2B3C4D58')
  expect(fromPosition('1A/2B3C4D58' as Position)).toBe(lsn)
  expect(markOf('1A/2B3C4D58' as Position)).toBeUndefined()
})

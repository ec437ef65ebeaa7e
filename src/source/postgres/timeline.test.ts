import { describe, expect, test } from 'vitest'
import type { Lsn } from './lsn.ts'
import { expectContinued, leftAt } from './timeline.ts'

const history =
  '1\t0/3000148\tno recovery target specified\n\n2\t0/40000A0\tbefore 2026-01-01 00:00:00\n'

test('leftAt() finds where each earlier timeline was left', () => {
  expect(leftAt(history, '1')).toBe(0x3000148n)
  expect(leftAt(history, '2')).toBe(0x40000a0n)
  expect(leftAt(history, '3')).toBeUndefined()
  expect(leftAt('', '1')).toBeUndefined()
})

describe('expectContinued()', () => {
  const change = (from: string, position: bigint) => ({
    from,
    to: '3',
    history,
    position: position as Lsn,
  })

  test('goes on from any place up to the branch', () => {
    expect(expectContinued(change('1', 0x3000148n))).toBe(0x3000148n)
    expect(expectContinued(change('2', 0x100n))).toBe(0x40000a0n)
  })

  test('trap: refuses data beyond the branch, with both places', () => {
    expect(() => expectContinued(change('1', 0x3000149n))).toThrow(
      expect.objectContaining({
        code: 'SOURCE_INCARNATION_CHANGED',
        message: expect.stringMatching(
          /left timeline 1 at 0\/3000148.*ends at 0\/3000149/,
        ) as string,
      }) as Error,
    )
  })

  test('trap: refuses a timeline that is no ancestor', () => {
    expect(() => expectContinued(change('7', 1n))).toThrow(
      expect.objectContaining({ code: 'SOURCE_INCARNATION_CHANGED' }) as Error,
    )
  })
})

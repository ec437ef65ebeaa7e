import { describe, expect, test } from 'vitest'
import type { Lsn } from './lsn.ts'
import { continuationOf, expectReadOn, leftAt } from './timeline.ts'

const history =
  '1\t0/3000148\tno recovery target specified\n\n2\t0/40000A0\tbefore 2026-01-01 00:00:00\n'

test('leftAt() finds where each earlier timeline was left', () => {
  expect(leftAt(history, '1')).toBe(0x3000148n)
  expect(leftAt(history, '2')).toBe(0x40000a0n)
  expect(leftAt(history, '3')).toBeUndefined()
  expect(leftAt('', '1')).toBeUndefined()
})

const change = (from: string, position: bigint) => ({
  from,
  to: '3',
  history,
  position: position as Lsn,
})

describe('continuationOf()', () => {
  test('goes on from any place up to the branch', () => {
    const none = { beyond: undefined }
    expect(continuationOf(change('1', 0x3000148n))).toEqual({ branch: 0x3000148n, ...none })
    expect(continuationOf(change('2', 0x100n))).toEqual({ branch: 0x40000a0n, ...none })
  })

  test('trap: refuses a timeline that is no ancestor', () => {
    expect(() => continuationOf(change('7', 1n))).toThrow(
      expect.objectContaining({ code: 'SOURCE_INCARNATION_CHANGED' }) as Error,
    )
  })
})

describe('expectReadOn()', () => {
  const beyond = continuationOf(change('1', 0x3000200n))

  test('trap: refuses data beyond the branch, with both places', () => {
    for (const confirmed of [undefined, 0x3000148n as Lsn, 0x100n as Lsn]) {
      expect(() => expectReadOn(beyond, confirmed, false)).toThrow(
        expect.objectContaining({
          code: 'SOURCE_INCARNATION_CHANGED',
          message: expect.stringMatching(
            /left timeline 1 at 0\/3000148.*ends at 0\/3000200/,
          ) as string,
        }) as Error,
      )
    }
  })

  test('takes data beyond the branch that was read from the promoted server itself', () => {
    expect(() => expectReadOn(beyond, 0x3000149n as Lsn, false)).not.toThrow()
    expect(() => expectReadOn(beyond, 0x100n as Lsn, true)).not.toThrow()
    expect(() => expectReadOn(continuationOf(change('1', 1n)), undefined, false)).not.toThrow()
  })
})

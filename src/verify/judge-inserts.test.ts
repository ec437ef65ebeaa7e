import { expect, test } from 'vitest'
import { judgeInserts, unmatchedRows } from './verify-table.ts'

const rows = (text: string) => text.split('').map((digest) => ({ key: digest, digest }))

test('rows are matched one by one: equal ones count', () => {
  expect(unmatchedRows(rows('aabc'), rows('abbd'))).toBe(2n)
  expect(unmatchedRows(rows('ab'), rows('bbaa'))).toBe(0n)
  expect(unmatchedRows([], rows('a'))).toBe(0n)
})

test('inserts alone: rows that went or changed are no difference, fewer rows than the source are', () => {
  const judge = (source: string, here: string) =>
    judgeInserts({
      sourceRows: BigInt(source.length),
      destinationRows: BigInt(here.length),
      unmatched: unmatchedRows(rows(source), rows(here)),
    })
  expect(judge('ab', 'abcc')).toEqual({ kind: 'complete', others: 2n })
  expect(judge('aX', 'abcc')).toEqual({ kind: 'not comparable', others: 3n })
  expect(judge('aXbY', 'abc')).toEqual({ kind: 'lost', others: 1n })
})

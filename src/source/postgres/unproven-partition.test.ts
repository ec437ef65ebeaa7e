import { expect, test } from 'vitest'
import type { TableId } from '../table-schema.ts'
import type { Lsn } from './lsn.ts'
import { parsePgSnapshot } from './snapshot-point.ts'
import { UnprovenPartition } from './unproven-partition.ts'

const node = {
  id: '7' as TableId,
  parent: '1' as TableId,
  kind: 'r',
  schema: 'public',
  table: 'leaf',
  isLogged: true,
  file: '7',
  placedBy: 3,
  attachedBy: 90n,
  isBorn: false,
}

const counted = 200n as Lsn

// Shows everything below 110 but 105.
const snapshot = parsePgSnapshot('100:110:105')

function partition(rows: bigint): UnprovenPartition {
  const one = new UnprovenPartition('1' as TableId, node)
  one.counted({ rows, snapshot }, counted)
  return one
}

test('rows that were counted and came prove a partition that was empty', () => {
  const one = partition(2n)
  for (const xid of [95, 99, 109]) one.note(xid, 'added')
  expect(one.judge(counted)).toBe('had rows')
  one.note(108, 'removed')
  expect(one.judge(counted)).toBe('proven')
})

test('trap: rows that come after a partition was counted do not stand for rows of before', () => {
  for (const later of [105, 110, 500]) {
    const one = partition(2n)
    one.note(99, 'added')
    one.note(later, 'added')
    expect(one.judge(counted)).toBe('had rows')
  }
})

test('trap: rows that come while a partition is counted are judged by what was counted', () => {
  const one = new UnprovenPartition('1' as TableId, node)
  for (const xid of [95, 95, 105, 109, 500]) one.note(xid, 'added')
  one.note(109, 'removed')
  // Nobody knows yet.
  expect(one.judge(10_000n as Lsn)).toBeUndefined()
  one.counted({ rows: 3n, snapshot }, counted)
  expect(one.judge(199n as Lsn)).toBeUndefined()
  expect(one.judge(counted)).toBe('had rows')
  one.note(99, 'added')
  expect(one.judge(counted)).toBe('proven')
})

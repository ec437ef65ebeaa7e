import { expect, test } from 'vitest'
import type { TableId } from '../table-schema.ts'
import type { Lsn } from './lsn.ts'
import { UnprovenPartition } from './partition-guard.ts'
import { parsePgSnapshot } from './snapshot-point.ts'

const node = {
  id: '7' as TableId,
  parent: '1' as TableId,
  kind: 'r',
  schema: 'public',
  table: 'leaf',
  isLogged: true,
  file: '7',
  attachedBy: 90n,
  isBorn: false,
}

function partition(rows: bigint): UnprovenPartition {
  // Shows everything below 110 but 105.
  const snapshot = parsePgSnapshot('100:110:105')
  return new UnprovenPartition('1' as TableId, node, { rows, snapshot }, 0n as Lsn)
}

test('rows that were counted and came prove a partition that was empty', () => {
  const one = partition(2n)
  for (const xid of [95, 99, 109]) one.note(xid, 'added')
  expect(one.isProven).toBe(false)
  one.note(108, 'removed')
  expect(one.isProven).toBe(true)
})

test('trap: rows that come after a partition was counted do not stand for rows of before', () => {
  for (const later of [105, 110, 500]) {
    const one = partition(2n)
    one.note(99, 'added')
    one.note(later, 'added')
    expect(one.isProven).toBe(false)
  }
})

import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Lsn } from './lsn.ts'
import { toPosition } from './position.ts'
import {
  formatSnapshotPoint,
  isVisible,
  parsePgSnapshot,
  parseSnapshotPoint,
  pointBefore,
  readSnapshotPoint,
  widenXid,
} from './snapshot-point.ts'

const takenAtUs = 1_700_000_000_000_000n

function covers(snapshot: string, xid: number, commitTimeUs = takenAtUs): boolean {
  const text = formatSnapshotPoint({ ...parsePgSnapshot(snapshot), lsn: 0x20n as Lsn, takenAtUs })
  return parseSnapshotPoint(text).covers({ tag: xid, commitTimeUs })
}

test('trap: covers() follows the visibility rule of a snapshot', () => {
  const snapshot = '100:110:102,105'
  const visible = [3, 99, 100, 101, 103, 104, 106, 109]
  const hidden = [102, 105, 110, 111, 4000]
  for (const xid of visible) expect(covers(snapshot, xid)).toBe(true)
  for (const xid of hidden) expect(covers(snapshot, xid)).toBe(false)
})

test('trap: covers() is right on both sides of a wraparound', () => {
  const epoch = 5n << 32n
  const snapshot = `${epoch - 3n}:${epoch + 4n}:${epoch - 2n},${epoch + 3n}`
  const visible = [4294967292, 4294967293, 4294967295, 0, 1, 2, 4_000_000_000]
  const hidden = [4294967294, 3, 4, 5, 1_000_000]
  for (const xid of visible) expect(covers(snapshot, xid)).toBe(true)
  for (const xid of hidden) expect(covers(snapshot, xid)).toBe(false)
})

test('trap: covers() does not cover a later transaction whose id came round again', () => {
  const muchLater = takenAtUs + 30n * 86_400_000_000n
  expect(covers('100:100:', 50)).toBe(true)
  expect(covers('100:100:', 50, muchLater)).toBe(false)
})

test('widenXid() finds the nearest 64-bit id, and isVisible() agrees with 64-bit arithmetic', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 2n ** 33n, max: 2n ** 62n }),
      fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }),
      fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 5 }),
      (xmax, distance, gaps) => {
        const id = xmax + BigInt(distance)
        const xid = Number(id & 0xffffffffn)
        expect(widenXid(xid, xmax)).toBe(id)
        const point = {
          xmin: xmax - 41n,
          xmax,
          running: gaps.map((gap) => xmax - 1n - BigInt(gap)),
        }
        const expected = id < xmax && !point.running.includes(id)
        expect(isVisible(point, xid)).toBe(expected)
      },
    ),
  )
})

test('trap: a point by place shows what commits before that place, and nothing at it', () => {
  const point = parseSnapshotPoint(formatSnapshotPoint(pointBefore(0x20n as Lsn, takenAtUs)))
  const at = (place: bigint): boolean => point.covers({ tag: 5, commitTimeUs: 0n, place })
  expect([at(0x1fn), at(0x20n), at(0x21n)]).toEqual([true, false, false])
  expect(point.covers({ tag: 5, commitTimeUs: 0n })).toBe(false)
})

test('isPassedBy() asks for the log up to the snapshot', () => {
  const point = parseSnapshotPoint(`1:1:@16/B374D848@${takenAtUs}`)
  expect(point.isPassedBy(toPosition(0x16_b374_d847n))).toBe(false)
  expect(point.isPassedBy(toPosition(0x16_b374_d848n))).toBe(true)
  expect(point.isPassedBy(toPosition(0x17_0000_0000n))).toBe(true)
})

test('a point survives its text', () => {
  const point = {
    xmin: 5n << 33n,
    xmax: (5n << 33n) + 7n,
    running: [(5n << 33n) + 1n, (5n << 33n) + 6n],
    lsn: 0xffff_ffff_0000_0001n as Lsn,
    takenAtUs,
  }
  expect(readSnapshotPoint(formatSnapshotPoint(point))).toEqual(point)
})

test.each(['', '1:2', '1:2:@', '1:2:@0/0', '1:2:@0/0@x', 'a:2:@0/0@1', '1:2:@zz@1'])(
  'readSnapshotPoint() refuses %j',
  (text) => {
    expect(() => readSnapshotPoint(text)).toThrow(
      expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
    )
  },
)

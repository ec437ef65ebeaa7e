import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  blocksIn,
  formatRange,
  type KnownRange,
  mayBeNewerSql,
  parseRange,
  rangeSql,
  restOf,
  splitRange,
} from './block-ranges.ts'
import { chunkBlocks, planRestOfCopy } from './copy-chunks.ts'
import { parseLsn } from './lsn.ts'
import { parsePgSnapshot } from './snapshot-point.ts'

const block = fc.nat({ max: 40 })
const range = fc
  .tuple(block, fc.option(fc.integer({ min: 1, max: 20 })))
  .map(([from, length]) => ({ from, to: length === null ? undefined : from + length }))
const known = fc.array(
  fc.tuple(range, fc.nat({ max: 3 })).map(([one, asOf]): KnownRange => ({ ...one, asOf })),
  { maxLength: 8 },
)
const holds = ({ from, to }: { from: number; to: number | undefined }, at: number): boolean =>
  from <= at && at < (to ?? Infinity)

describe('restOf()', () => {
  test('every block stands in exactly one part, with the newest point it was read under', () => {
    fc.assert(
      fc.property(known, (ranges) => {
        const { unread, stale } = restOf(ranges)
        for (let at = 0; at < 80; at++) {
          const newest = Math.max(-1, ...ranges.filter((one) => holds(one, at)).map((r) => r.asOf))
          const here = [...unread, ...stale].filter((one) => holds(one, at))
          expect(here).toHaveLength(1)
          expect(stale.find((one) => holds(one, at))?.asOf ?? -1).toBe(newest)
        }
      }),
    )
  })

  test('a copy that is cut off again and again comes to its end, and reads no part twice', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 5 }), { maxLength: 12 }), block, (lives, growth) => {
        const ledger: KnownRange[] = []
        let reads = 0
        for (const [life, finished] of [...lives, 1000].entries()) {
          const blocks = 30 + life * growth
          const pieces = restOf(ledger).unread.flatMap((one) => splitRange(one, blocks, 4))
          for (const piece of pieces.slice(0, finished)) {
            expect(ledger.some((other) => holds(other, piece.from))).toBe(false)
            ledger.push({ ...piece, asOf: life })
            reads++
          }
        }
        expect(restOf(ledger).unread).toEqual([])
        expect(reads).toBeLessThanOrEqual(Math.ceil((30 + 13 * growth) / 4) + lives.length + 1)
      }),
    )
  })
})

test('splitRange() gives neighbours that together are the range', () => {
  fc.assert(
    fc.property(range, fc.nat({ max: 60 }), fc.integer({ min: 1, max: 9 }), (one, blocks, most) => {
      const pieces = splitRange(one, blocks, most)
      expect(pieces[0]?.from).toBe(one.from)
      expect(pieces.at(-1)?.to).toBe(one.to)
      for (const [index, piece] of pieces.slice(1).entries()) {
        expect(piece.from).toBe(pieces[index]?.to)
      }
    }),
  )
  expect(splitRange({ from: 0, to: undefined }, 0, 8)).toEqual([{ from: 0, to: undefined }])
  expect(blocksIn({ from: 4, to: undefined }, 10)).toBe(6)
  expect(blocksIn({ from: 12, to: undefined }, 10)).toBe(0)
})

test('a part comes back from its text, and damaged text is refused', () => {
  const part = { relation: '16385', filenode: '4294967295', from: 8, to: undefined }
  expect(parseRange(formatRange(part))).toEqual(part)
  expect(parseRange(formatRange({ ...part, to: 4096 }))).toEqual({ ...part, to: 4096 })
  for (const text of ['', '1:0-', '1/2:-4', 'x/2:0-4']) {
    expect(() => parseRange(text)).toThrow(
      expect.objectContaining({ code: 'SOURCE_PROTOCOL_UNEXPECTED' }),
    )
  }
  expect(rangeSql({ from: 0, to: undefined })).toBeUndefined()
  expect(rangeSql({ from: 3, to: 9 })).toBe("ctid >= '(3,0)' AND ctid < '(9,0)'")
})

/** What the server makes of the condition for a row with this xmin. */
function mayBeNewer(xmin: number, snapshotXmin: bigint): boolean {
  const sql = mayBeNewerSql(snapshotXmin)
  const terms = /^\(xmin::text::bigint - (\d+) \+ (\d+)\) % (\d+) < (\d+)$/.exec(sql)?.slice(1)
  const [low = 0n, space = 0n, modulus = 1n, horizon = 0n] = (terms ?? []).map(BigInt)
  return (BigInt(xmin) - low + space) % modulus < horizon
}

test('trap: an xid that wrapped around since the snapshot is newer, not older', () => {
  // The snapshot stands just before the end of an epoch.
  const xmin = 5n * 2n ** 32n - 10n
  expect(mayBeNewer(2 ** 32 - 10, xmin)).toBe(true)
  expect(mayBeNewer(2 ** 32 - 11, xmin)).toBe(false)
  expect(mayBeNewer(3, xmin)).toBe(true)
  expect(mayBeNewer(2 ** 31 - 11, xmin)).toBe(true)
  expect(mayBeNewer(2 ** 31 + 5, xmin)).toBe(false)
  fc.assert(
    fc.property(fc.bigInt(3n, 2n ** 40n), fc.bigInt(0n, 2n ** 31n - 1n), (base, later) => {
      expect(mayBeNewer(Number((base + later) % 2n ** 32n), base)).toBe(true)
    }),
  )
  expect(mayBeNewerSql(5n * 2n ** 32n + 7n)).toBe(
    '(xmin::text::bigint - 7 + 4294967296) % 4294967296 < 2147483648',
  )
})

test('trap: a point without transaction ids tells nothing of rows, so the copy is not resumed', () => {
  const relation = { relation: '7', filenode: '7', name: 't', blocks: 9 }
  const options = {
    relations: [relation],
    perChunk: 4,
    isResumable: true,
    estimatedRows: undefined,
    blockBytes: 8192,
  }
  const chunks = [{ range: '7/7:0-4', point: 0 }]
  const now = { ...parsePgSnapshot('10:10:'), lsn: parseLsn('0/20'), takenAtUs: 9n }
  const rest = (point: string) => planRestOfCopy(options, { points: [point], chunks }, now)
  expect(rest('before@0/10@5')).toBe('it was made from a standby')
  const planned = rest('8:8:@0/10@5')
  expect(typeof planned === 'string' ? planned : planned.map(({ since }) => since)).toEqual([
    undefined,
    undefined,
    8n,
  ])
})

test('trap: after two thousand million transactions ids in rows tell nothing, so the copy is not resumed', () => {
  const relation = { relation: '7', filenode: '7', name: 't', blocks: 9 }
  const sizes = { perChunk: 4, isResumable: true, estimatedRows: undefined, blockBytes: 8192 }
  const copy = { points: ['8:8:@0/10@5'], chunks: [{ range: '7/7:0-4', point: 0 }] }
  const rest = (xmax: bigint) =>
    planRestOfCopy({ relations: [relation], ...sizes }, copy, {
      ...parsePgSnapshot(`${xmax}:${xmax}:`),
      lsn: parseLsn('0/20'),
      takenAtUs: 9n,
    })
  expect(rest(8n + 2n ** 31n)).toBe('too many transactions began since')
  expect(rest(7n + 2n ** 31n)).toHaveLength(3)
})

test('chunks of a table are even, and few enough for very large ones', () => {
  const sizes = { chunkBytes: 64 * 2 ** 20, blockBytes: 8192 }
  expect(chunkBlocks(8192, sizes, true)).toBe(8192)
  expect(chunkBlocks(8192 * 8192 * 2, sizes, true)).toBe(32_768)
  expect(chunkBlocks(10_000_000, sizes, false)).toBe(Infinity)
})

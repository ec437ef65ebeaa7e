import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  changeFilePath,
  manifestPath,
  parseDataFilePath,
  parseManifestPath,
  schemaPath,
  snapshotFilePath,
} from './layout.ts'

test('paths are what the format says', () => {
  expect(manifestPath(42)).toBe('_log/00000000000000000042.json')
  expect(schemaPath('16385', 2)).toBe('tables/16385/schema-2.json')
  expect(snapshotFilePath({ tableId: '16385', snapshotId: 1, chunk: 7, epoch: 3 })).toBe(
    'tables/16385/snapshot/1/7-3.parquet',
  )
  expect(changeFilePath({ tableId: 'a', firstSequence: 9n, epoch: 3, number: 0 })).toBe(
    'tables/a/changes/00000000000000000009-3-0.parquet',
  )
})

test('parsing gives back what a path was built from', () => {
  const count = fc.maxSafeNat()
  const tableId = fc.stringMatching(/^[A-Za-z0-9_-][A-Za-z0-9._-]*$/)
  fc.assert(
    fc.property(tableId, count, count, count, fc.bigInt(0n, 2n ** 63n - 1n), (id, a, b, c, q) => {
      expect(parseManifestPath(manifestPath(a))).toBe(a)
      const snapshot = { tableId: id, snapshotId: a, chunk: b, epoch: c }
      expect(parseDataFilePath(snapshotFilePath(snapshot))).toEqual({
        kind: 'snapshot',
        ...snapshot,
      })
      const changes = { tableId: id, firstSequence: q, epoch: a, number: b }
      expect(parseDataFilePath(changeFilePath(changes))).toEqual({ kind: 'changes', ...changes })
    }),
  )
})

test.each([
  'tables/../changes/00000000000000000009-3-0.parquet',
  'tables/a/../b/changes/00000000000000000009-3-0.parquet',
  'tables/.a/snapshot/1/7-3.parquet',
  'tables/a/snapshot/01/7-3.parquet',
  'tables/a/snapshot/1/7-9007199254740993.parquet',
  'tables/a/snapshot/1/7-3.parquet.tmp',
  '/tables/a/snapshot/1/7-3.parquet',
  'tables/a/changes/9-3-0.parquet',
  'tables/a/changes/00000000000000000009-3-00.parquet',
  'tables/a/schema-0.json',
])('parseDataFilePath() refuses %s', (path) => {
  expect(parseDataFilePath(path)).toBeUndefined()
})

test.each(['_log/1.json', '_log/00000000000000000001.json.tmp', '_log/_first', 'log/x', ''])(
  'parseManifestPath() refuses "%s"',
  (path) => {
    expect(parseManifestPath(path)).toBeUndefined()
  },
)

test('a table id that would lead elsewhere builds no path', () => {
  for (const id of ['', '.', '..', 'a/b', 'ä', 'a b', '.hidden']) {
    expect(() => schemaPath(id, 0)).toThrow(RangeError)
  }
})

/** Which files are read, which are rewritten, which staged files count. */
import { describe, expect, test } from 'vitest'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { ChangesEntry, TruncateEntry } from '../staging/manifest.ts'
import { chooseRewrites, type FileLoad } from './choose-rewrites.ts'
import { chooseColumns } from './destination-columns.ts'
import { mayHoldKeys } from './prune-files.ts'
import { stagedChanges } from './staged-changes.ts'

describe('mayHoldKeys()', () => {
  const stats = (min: string, max: string): string =>
    `{"numRecords":3,"minValues":{"k":${min}},"maxValues":{"k":${max}},"nullCount":{"k":0}}`
  const held = (type: CanonicalType, bounds: [string, string], range: [string, string]): boolean =>
    mayHoldKeys(stats(...bounds), { column: 'k', type, min: range[0], max: range[1] })

  test.each<[CanonicalType['kind'], [string, string], [string, string], boolean]>([
    ['int64', ['10', '20'], ['21', '30'], false],
    ['int64', ['10', '20'], ['1', '9'], false],
    ['int64', ['10', '20'], ['20', '30'], true],
    [
      'int64',
      ['9007199254740993', '9007199254740993'],
      ['9007199254740993', '9007199254740993'],
      true,
    ],
    ['float64', ['-1.5', '2'], ['nan', 'nan'], true],
    ['float64', ['-1.5', '2'], ['3.0', '4.0'], false],
    ['string', ['"a"', '"b"'], ['c', 'd'], false],
    ['string', ['"\u{1f600}"', '"\u{1f601}"'], ['\uff5e', '\uff5e'], false],
    ['string', ['"a"', '"b"'], ['B', 'a'], true],
    ['date', ['"2024-01-01"', '"2024-02-01"'], ['2024-02-02', '2024-03-01'], false],
    ['date', ['"2024-01-01"', '"2024-02-01"'], ['2024-02-02', '10000-01-01'], false],
    ['date', ['"2024-01-01"', '"2024-02-01"'], ['0044-03-15 (BC)', '0044-03-15 (BC)'], true],
    [
      'timestamp',
      ['"2024-01-01T00:00:00.000Z"', '"2024-01-01T00:00:00.123Z"'],
      ['2024-01-01 00:00:00.1239+00', '2024-01-02 00:00:00+00'],
      true,
    ],
    [
      'timestamp',
      ['"2024-01-01T00:00:00.000Z"', '"2024-01-01T00:00:00.123Z"'],
      ['2024-01-01 00:00:00.124+00', '2024-01-02 00:00:00+00'],
      false,
    ],
    ['boolean', ['false', 'false'], ['true', 'true'], true],
  ])('%s %j against %j', (kind, bounds, range, expected) => {
    expect(held({ kind } as CanonicalType, bounds, range)).toBe(expected)
  })

  test('nothing is left out without statistics', () => {
    const range = { column: 'k', type: { kind: 'int64' as const }, min: '1', max: '2' }
    expect(mayHoldKeys(undefined, range)).toBe(true)
    expect(mayHoldKeys('{"numRecords":1}', range)).toBe(true)
  })
})

describe('chooseRewrites()', () => {
  const mib = 2 ** 20
  const file = (sizeBytes: number, deadRows = 0, rows = 100): FileLoad => ({
    sizeBytes,
    rows,
    deadRows,
  })

  test('rewrites large files beyond 30 % dead rows, the deadest first, within a budget', () => {
    expect(
      chooseRewrites([file(10 * mib, 30), file(10 * mib, 31), file(mib / 2, 99)]).rewritten,
    ).toEqual([1])
    expect(chooseRewrites([file(200 * mib, 40), file(200 * mib, 90)]).rewritten).toEqual([1])
    expect(chooseRewrites([file(900 * mib, 40)]).rewritten).toEqual([0])
  })

  test('merges the smallest full class of small files, never large ones', () => {
    const small = Array.from({ length: 10 }, () => file(1000))
    const medium = Array.from({ length: 12 }, () => file(mib))
    expect(chooseRewrites([...medium, ...small]).merged).toEqual(small.map((_, n) => n + 12))
    expect(chooseRewrites(small.slice(1)).merged).toEqual([])
    expect(chooseRewrites(Array.from({ length: 50 }, () => file(5 * mib))).merged).toEqual([])
  })
})

describe('stagedChanges()', () => {
  const changes = (path: string, min: number, max: number): ChangesEntry => ({
    kind: 'changes',
    table_id: '1',
    snapshot_id: 0,
    schema_version: 0,
    file: { path, rows: 1, bytes: 10, crc32: 0 },
    inserts: 1,
    updates: 0,
    deletes: 0,
    has_absent: false,
    min_sequence: String(min),
    max_sequence: String(max),
  })
  const truncate = (sequence: number, ordinal: number): TruncateEntry => ({
    kind: 'truncate',
    table_id: '1',
    snapshot_id: 0,
    sequence: String(sequence),
    ordinal,
  })

  test('forgets files that end before the last truncate', () => {
    const steps = [changes('a', 1, 2), truncate(2, 7), changes('b', 2, 9), truncate(2, 3)]
    const found = stagedChanges(steps)
    expect(found.files.map(({ path }) => path)).toEqual(['a', 'b'])
    expect(found.after).toEqual({ sequence: 2n, ordinal: 7 })
    expect(stagedChanges([...steps, truncate(10, 0)]).files).toEqual([])
    expect(stagedChanges([changes('a', 8, 9), changes('b', 3, 4)])).toMatchObject({
      firstSequence: 3n,
      bytes: 20,
      after: undefined,
    })
  })
})

test('chooseColumns() keeps the key whatever is included', () => {
  const column = (name: string) => ({
    name,
    type: { kind: 'int32' as const },
    sourceType: 'int',
    nullable: true,
  })
  const schema = { columns: ['a', 'b', 'c'].map(column), key: ['c'] }
  const chosen = chooseColumns(schema, { includeColumns: ['b'] })
  expect(chosen.columns.map(({ name }) => name)).toEqual(['b', 'c'])
  expect(chosen.ordinals).toEqual([-1, 0, 1])
  expect(() => chooseColumns(schema, { includeColumns: ['x'] })).toThrow(
    expect.objectContaining({ code: 'DESTINATION_COLUMN_UNKNOWN' }),
  )
})

/** Listings of a log → what to read. */
import { expect, test } from 'vitest'
import { deltaVersion, parseLogPath } from './log-path.ts'
import { buildLogSegment } from './log-segment.ts'

const name = (version: number): string => String(version).padStart(20, '0')
const commit = (version: number): string => `${name(version)}.json`
const checkpoint = (version: number): string => `${name(version)}.checkpoint.parquet`
const part = (version: number, n: number, of: number): string =>
  `${name(version)}.checkpoint.${String(n).padStart(10, '0')}.${String(of).padStart(10, '0')}.parquet`
const v2 = (version: number): string =>
  `${name(version)}.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json`

function segment(names: readonly string[], target?: number): unknown {
  const files = names.flatMap((path) => parseLogPath(path) ?? [])
  const built = buildLogSegment(files, 't', target === undefined ? undefined : deltaVersion(target))
  return (
    built && [Number(built.version), built.checkpoint?.paths, built.commits.map(({ path }) => path)]
  )
}

test('other names in the log are passed over', () => {
  const others = [
    '_last_checkpoint',
    `${name(1)}.crc`,
    `${name(1)}.${name(3)}.compacted.json`,
    `.${name(1)}.json.tmp`,
    '1.json',
    `${name(1)}.80a083e8-7026-4e79-81be-64bd76c43a11.json`,
  ]
  expect(others.map(parseLogPath)).toEqual(others.map(() => undefined))
})

test('the newest complete checkpoint and the commits after it', () => {
  expect(segment([])).toBeUndefined()
  expect(segment([commit(1), commit(0)])).toEqual([1, undefined, [commit(0), commit(1)]])
  const all = [...[0, 1, 2, 3, 4].map(commit), checkpoint(2)]
  expect(segment(all)).toEqual([4, [checkpoint(2)], [commit(3), commit(4)]])
  expect(segment(all, 1)).toEqual([1, undefined, [commit(0), commit(1)]])
  expect(segment(all, 2)).toEqual([2, [checkpoint(2)], []])
  expect(segment([checkpoint(7)])).toEqual([7, [checkpoint(7)], []])
  expect(segment([v2(7), commit(8)])).toEqual([8, [v2(7)], [commit(8)]])
})

test('a multi-part checkpoint counts only when whole', () => {
  const parts = [part(2, 1, 2), part(2, 2, 2)]
  const commits = [0, 1, 2, 3].map(commit)
  expect(segment([...parts, ...commits])).toEqual([3, parts, [commit(3)]])
  expect(segment([...parts.slice(1), ...commits])).toEqual([3, undefined, commits])
  // Parts of two attempts do not make one checkpoint.
  expect(segment([part(2, 1, 2), part(2, 2, 3), ...commits])).toEqual([3, undefined, commits])
})

test('gaps and missing versions are named', () => {
  expect(() => segment([commit(0), commit(2)])).toThrow('no version 1, but has version 2')
  expect(() => segment([commit(1), commit(2)])).toThrow('no version 0, but has version 1')
  expect(() => segment([checkpoint(3), commit(5)])).toThrow('no version 4, but has version 5')
  expect(() => segment([commit(0)], 4)).toThrow('no version 4: the newest is 0')
  expect(() => segment([checkpoint(3), commit(4)], 1)).toThrow('t has no version')
})

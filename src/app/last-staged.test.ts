import { expect, test } from 'vitest'
import { changesEntry } from '../../test/support/staging-fixtures.ts'
import type { Manifest, ManifestEntry } from '../staging/manifest.ts'
import { lastStaged } from './last-staged.ts'

function manifest(commit: number, atMs: number | undefined, ...entries: ManifestEntry[]): Manifest {
  return {
    format: 1,
    commit,
    epoch: 1,
    writer: 'w',
    created_at_ms: 0,
    incarnation: 'i',
    position_before: 'p',
    position_after: 'p',
    ...(atMs === undefined ? {} : { max_commit_time_us: `${atMs}999` }),
    entries,
  }
}

const changes = (table: string): ManifestEntry =>
  changesEntry(table, 1, { path: 'x', rows: 1, bytes: 1, crc32: 1 })

const log = [
  manifest(5, undefined, { kind: 'snapshot_finished', table_id: '1', snapshot_id: 0, rows: 3 }),
  manifest(6, 2000, changes('1'), changes('2')),
  manifest(7, 3000, changes('2')),
  manifest(8, undefined, { kind: 'gap', table_id: '1', reason: 'x' }),
]

test('lastStaged() passes over commits of other tables and those without rows', () => {
  expect(lastStaged(log, '1')).toEqual({ commit: 6, atMs: 2000 })
  expect(lastStaged(log, '2')).toEqual({ commit: 7, atMs: 3000 })
  expect(lastStaged(log, '3')).toBeUndefined()
})

test('lastStaged() looks no further than it is told', () => {
  expect(lastStaged(log, '2', 6)).toEqual({ commit: 6, atMs: 2000 })
  expect(lastStaged(log, '1', 5)).toEqual({ commit: 5, atMs: undefined })
  expect(lastStaged(log, '1', 4)).toBeUndefined()
})

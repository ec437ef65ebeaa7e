import { expect, test } from 'vitest'
import type { Manifest, ManifestEntry } from '../staging/manifest.ts'
import { isRefreshOnRecord } from './refresh-requests.ts'

function manifest(commit: number, ...entries: ManifestEntry[]): Manifest {
  return {
    format: 1,
    commit,
    epoch: 1,
    writer: 'w',
    created_at_ms: 0,
    incarnation: '',
    position_before: '',
    position_after: '',
    entries,
  }
}

const gap = (table_id: string): ManifestEntry => ({ kind: 'gap', table_id, reason: 'asked' })

test('isRefreshOnRecord() sees a gap or a new copy of the table after the request, nothing else', () => {
  const finished: ManifestEntry = {
    kind: 'snapshot_finished',
    table_id: '7',
    snapshot_id: 0,
    rows: 1,
  }
  const started: ManifestEntry = {
    kind: 'snapshot_started',
    table_id: '7',
    snapshot_id: 1,
    schema_version: 0,
    point: '',
    chunk_count: 1,
  }
  expect(isRefreshOnRecord([manifest(3, gap('7'))], '7', 3)).toBe(false)
  expect(isRefreshOnRecord([manifest(4, gap('8')), manifest(5, finished)], '7', 3)).toBe(false)
  expect(isRefreshOnRecord([manifest(4, gap('8'), gap('7'))], '7', 3)).toBe(true)
  expect(isRefreshOnRecord([manifest(4, started)], '7', 3)).toBe(true)
})

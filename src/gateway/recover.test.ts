import { expect, test } from 'vitest'
import { tell } from '../../test/support/staging-fixtures.ts'
import { emptyLogBase, type LogBase } from '../staging/log-base.ts'
import type { Manifest, ManifestEntry } from '../staging/manifest.ts'
import { RecoveredLog } from '../staging/recovered-log.ts'
import type { ManifestDraft } from '../staging/staging-log.ts'
import { recordEnd, recover, type Recovered, recoveredState } from './recover.ts'

function manifest(
  commit: number,
  entries: ManifestEntry[],
  more: Partial<Manifest> = {},
): Manifest {
  return {
    format: 1,
    commit,
    epoch: 1,
    writer: 'w',
    created_at_ms: 0,
    incarnation: 'one',
    position_before: '',
    position_after: `p${commit}`,
    ...more,
    entries,
  }
}

const named = (version = 0): ManifestEntry => ({
  kind: 'table',
  table_id: '1',
  source_schema: 'public',
  source_table: 't',
  schema_version: version,
})
const started = (id: number, chunks = 2): ManifestEntry => ({
  kind: 'snapshot_started',
  table_id: '1',
  snapshot_id: id,
  schema_version: 0,
  point: `point ${id}`,
  chunk_count: chunks,
})
const chunk = (id: number, number: number): ManifestEntry => ({
  kind: 'snapshot_chunk',
  table_id: '1',
  snapshot_id: id,
  schema_version: 0,
  chunk: number,
  files: [{ path: `${id}/${number}`, rows: 10, bytes: 1, crc32: 0 }],
})
const finished = (id: number): ManifestEntry => ({
  kind: 'snapshot_finished',
  table_id: '1',
  snapshot_id: id,
  rows: 20,
})
const gap: ManifestEntry = { kind: 'gap', table_id: '1', reason: 'why' }

function recovered(base: LogBase, manifests: readonly Manifest[]): Recovered {
  return recover(tell(new RecoveredLog(), base, manifests))
}

test.each<[string, ManifestEntry[]]>([
  ['pending', [named()]],
  ['pending', [named(), started(0)]],
  ['pending', [named(), started(0), chunk(0, 0)]],
  ['pending', [named(), started(0), chunk(0, 0), chunk(0, 0)]],
  ['catching-up', [named(), started(0), chunk(0, 1), chunk(0, 0)]],
  ['streaming', [named(), started(0), chunk(0, 1), chunk(0, 0), finished(0)]],
  ['pending', [named(), started(0), chunk(0, 1), chunk(0, 0), finished(0), gap]],
  ['pending', [named(), started(0), chunk(0, 1), chunk(0, 0), finished(0), started(1)]],
  ['pending', [named(), started(0), gap, chunk(0, 1), chunk(0, 0)]],
  ['streaming', [named(), started(0), gap, started(1, 0), finished(1)]],
  ['pending', [named(), started(0, 0)]],
])('a table is %s after %j', (state, entries) => {
  const { tables } = recovered(
    emptyLogBase,
    entries.map((entry, at) => manifest(at, [entry])),
  )
  const table = tables.get('1')
  expect(table === undefined ? undefined : recoveredState(table)).toBe(state)
})

test('state and sequence are those of the newest manifest that has them', () => {
  const known = recovered(emptyLogBase, [
    manifest(0, [], { position_after: '', incarnation: '' }),
    manifest(1, [], { last_sequence: '7' }),
    manifest(2, [named(), started(0), chunk(0, 0)], { incarnation: 'two' }),
  ])
  expect(known.state).toEqual({ incarnation: 'two', position: 'p2' })
  expect(known.lastSequence).toBe(7n)
  expect(known.tables.get('1')).toMatchObject({ name: 'public.t', rows: 10, schemaVersion: 0 })
})

test('an empty log knows nothing', () => {
  const known = recovered(emptyLogBase, [manifest(0, [], { position_after: '' })])
  expect(known).toMatchObject({ state: undefined, lastSequence: 0n })
})

test('what a purge left counts as if it stood before the manifests', () => {
  const entries = [named(3), started(4), finished(4)] as never
  const base = {
    first: 9,
    last_sequence: '41',
    tables: [{ table_id: '1', last_commit: 8, entries }],
  }
  const known = recovered(base, [manifest(9, [])])
  const table = known.tables.get('1')
  expect(known.lastSequence).toBe(41n)
  expect(table).toMatchObject({ schemaVersion: 3, isFinished: true })
  expect(table === undefined ? undefined : recoveredState(table)).toBe('streaming')
})

test('trap: after its gateway was removed nothing goes on, and what was staged is superseded', async () => {
  const manifests = [manifest(0, [named(), started(0, 1), chunk(0, 0)]), manifest(1, [finished(0)])]
  const staging = {
    get recovered() {
      return tell(new RecoveredLog(), emptyLogBase, manifests)
    },
    publish: async ({ entries, ...draft }: ManifestDraft): Promise<Manifest> => {
      const published = manifest(manifests.length, [...entries], draft)
      manifests.push(published)
      return published
    },
  }
  await recordEnd(staging, 'why')
  // Removed twice, with a gateway that took the volume over between.
  manifests.push(manifest(3, [], { position_after: '' }))
  await recordEnd(staging, 'why')
  expect(manifests).toHaveLength(4)
  const ended = recovered(emptyLogBase, manifests)
  expect(ended.state).toBeUndefined()
  expect([...ended.tables.values()].map(recoveredState)).toEqual(['pending'])
  manifests.push(manifest(4, [], { incarnation: 'two', position_before: 'p4' }))
  expect(recovered(emptyLogBase, manifests).state).toEqual({ incarnation: 'two', position: 'p4' })
})

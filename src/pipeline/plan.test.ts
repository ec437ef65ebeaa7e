import { describe, expect, test } from 'vitest'
import { tell } from '../../test/support/staging-fixtures.ts'
import { hasCode } from '../base/errors.ts'
import { digestPoint } from '../destination/destination-state.ts'
import { emptyLogBase, type LogBase } from '../staging/log-base.ts'
import type { ChangesEntry, Manifest, ManifestEntry } from '../staging/manifest.ts'
import { chooseTarget, planTable, type AppliedState, type TablePlan } from './plan.ts'
import { StagedTables } from '../staging/staged-tables.ts'

const table: Extract<ManifestEntry, { kind: 'table' }> = {
  kind: 'table',
  table_id: '1',
  source_schema: 'public',
  source_table: 't',
  schema_version: 0,
}
const started = (id: number): Extract<ManifestEntry, { kind: 'snapshot_started' }> => ({
  kind: 'snapshot_started',
  table_id: '1',
  snapshot_id: id,
  schema_version: 0,
  point: `p${id}`,
  chunk_count: 1,
})
const chunk = (id: number): ManifestEntry => ({
  kind: 'snapshot_chunk',
  table_id: '1',
  snapshot_id: id,
  schema_version: 0,
  chunk: 0,
  files: [],
})
const resumed: ManifestEntry = {
  kind: 'snapshot_resumed',
  table_id: '1',
  snapshot_id: 0,
  resumption: 1,
  point: 'p0 again',
  first_chunk: 1,
  chunk_count: 1,
}
const finished = (id: number): Extract<ManifestEntry, { kind: 'snapshot_finished' }> => ({
  kind: 'snapshot_finished',
  table_id: '1',
  snapshot_id: id,
  rows: 0,
})
const changes = (id: number, version = 0): ChangesEntry => ({
  kind: 'changes',
  table_id: '1',
  snapshot_id: id,
  schema_version: version,
  file: { path: 'f', rows: 1, bytes: 1, crc32: 0 },
  inserts: 1,
  updates: 0,
  deletes: 0,
  has_absent: false,
  min_sequence: '1',
  max_sequence: '1',
})
const gap: Extract<ManifestEntry, { kind: 'gap' }> = { kind: 'gap', table_id: '1', reason: 'lost' }

const manifest = (commit: number, entries: readonly ManifestEntry[]): Manifest => ({
  format: 1,
  commit,
  epoch: 1,
  writer: 'w',
  created_at_ms: 0,
  incarnation: '',
  position_before: '',
  position_after: '',
  entries,
})

const none: AppliedState = {
  commit: undefined,
  snapshotId: undefined,
  snapshotPoint: undefined,
  schemaVersion: undefined,
}
const at = (commit: number, id: number): AppliedState => ({
  commit,
  snapshotId: id,
  snapshotPoint: digestPoint(`p${id}`),
  schemaVersion: 0,
})

const afresh = (entries: LogBase['tables'][number]['entries']): LogBase => ({
  first: 9,
  tables: [{ table_id: '1', last_commit: 8, entries }],
})

interface Case {
  readonly log: readonly (readonly ManifestEntry[])[]
  readonly applied?: AppliedState
  readonly target?: number
  readonly base?: LogBase
}

/** In short: the kind, and for work the copy and the commits of its steps; for refusals the code. */
function planned({ log, applied = none, target, base = emptyLogBase }: Case): string {
  const manifests = log.map((entries, n) => manifest(base.first + n, entries))
  const staged = tell(new StagedTables(), base, manifests)
  const found = staged.table('1')
  if (found === undefined) return 'unknown table'
  const newest = staged.newest ?? 0
  return inShort(planTable({ table: found, applied, target: target ?? newest, newest, base }))
}

function inShort(plan: TablePlan): string {
  if (plan.kind === 'blocked') return plan.error.code
  if (plan.kind !== 'load' && plan.kind !== 'changes') return plan.kind
  return `${plan.kind} ${plan.snapshot.started.snapshot_id} with ${plan.steps.map((step) => step.commit).join()}`
}

describe('planTable()', () => {
  const loaded = [table, started(0), chunk(0), finished(0)]

  test.each<[string, Case, string]>([
    ['no finished copy', { log: [[table, started(0), chunk(0)]] }, 'waiting'],
    ['a finished copy', { log: [loaded, [changes(0)]] }, 'load 0 with 1'],
    [
      'changes staged before the copy was finished',
      { log: [[table, started(0), chunk(0)], [changes(0)], [finished(0)]] },
      'load 0 with 1',
    ],
    [
      'later changes',
      { log: [loaded, [changes(0)], [changes(0)]], applied: at(1, 0) },
      'changes 0 with 2',
    ],
    [
      'trap: changes that the newest point of a resumed copy shows are no steps after it',
      {
        log: [
          [table, started(0), chunk(0)],
          [changes(0)],
          [resumed, { ...chunk(0), chunk: 1, resumption: 1 } as ManifestEntry],
          [{ ...changes(0), resumption: 1 }, finished(0)],
        ],
      },
      'load 0 with 3',
    ],
    [
      'trap: a place before that at which its former owner left it',
      {
        log: [loaded, [changes(0)], [changes(0)]],
        applied: { ...none, reached: 2 },
        target: 1,
      },
      'nothing',
    ],
    [
      'the newest place, also of a log that is shorter than that of its former owner',
      { log: [loaded, [changes(0)], [changes(0)]], applied: { ...none, reached: 99 } },
      'load 0 with 1,2',
    ],
    ['nothing new', { log: [loaded, [changes(0)]], applied: at(1, 0) }, 'nothing'],
    [
      'changes after the target',
      { log: [loaded, [changes(0)], [changes(0)]], applied: at(0, 0), target: 1 },
      'changes 0 with 1',
    ],
    [
      'a table that is further than the target',
      { log: [loaded, [changes(0)]], applied: at(1, 0), target: 0 },
      'nothing',
    ],
    [
      'a newer copy',
      {
        log: [loaded, [changes(0), started(1), chunk(1)], [changes(1), finished(1)]],
        applied: at(0, 0),
      },
      'load 1 with 2',
    ],
    [
      'a newer copy that is not finished',
      { log: [loaded, [started(1)], [changes(1), changes(0)]], applied: at(0, 0) },
      'changes 0 with 2',
    ],
    ['a gap, then nothing', { log: [loaded, [gap]], applied: at(0, 0) }, 'PIPELINE_TABLE_GAP'],
    [
      'changes of a copy that a gap ended',
      { log: [loaded, [gap], [changes(0)]], applied: at(0, 0) },
      'PIPELINE_TABLE_GAP',
    ],
    ['a gap before the first load', { log: [[table, started(0), gap]] }, 'PIPELINE_TABLE_GAP'],
    [
      'a new copy after a gap',
      { log: [loaded, [gap, started(1), chunk(1), finished(1)]], applied: at(0, 0) },
      'load 1 with ',
    ],
    [
      'a log that ends before the table',
      { log: [loaded], applied: at(5, 0) },
      'PIPELINE_STAGING_REPLACED',
    ],
    [
      'a log with older copies only',
      { log: [loaded, []], applied: at(1, 3) },
      'PIPELINE_STAGING_REPLACED',
    ],
    [
      'a log with another copy of the same number',
      { log: [loaded, [changes(0)]], applied: { ...at(0, 0), snapshotPoint: 'x' } },
      'PIPELINE_STAGING_REPLACED',
    ],
    [
      'trap: the next copy of a log that begins afresh is under way',
      {
        base: afresh([table, started(9), gap]),
        log: [[table, started(10), chunk(10)]],
        applied: at(8, 3),
      },
      'PIPELINE_TABLE_GAP',
    ],
    [
      'the same of a volume that was lost whole',
      { base: afresh([]), log: [[table, started(10), chunk(10)]], applied: at(8, 3) },
      'waiting',
    ],
    ['a chunk short', { log: [[table, started(0), finished(0)]] }, 'PIPELINE_STAGING_INCONSISTENT'],
    [
      'two schema versions in a copy',
      { log: [loaded, [changes(0, 1)]] },
      'PIPELINE_STAGING_INCONSISTENT',
    ],
  ])('%s', (_name, input, expected) => {
    expect(planned(input)).toBe(expected)
  })

  const base: LogBase = {
    first: 5,
    tables: [
      { table_id: '1', last_commit: 3, entries: [table, started(0), finished(0)] },
    ] as LogBase['tables'],
  }

  test.each<[string, Case, string]>([
    [
      'purged, but applied before',
      { base, log: [[changes(0)]], applied: at(3, 0) },
      'changes 0 with 5',
    ],
    [
      'purged changes never applied',
      { base, log: [[changes(0)]], applied: at(2, 0) },
      'PIPELINE_STAGING_PURGED',
    ],
    ['a purged copy never loaded', { base, log: [[changes(0)]] }, 'PIPELINE_STAGING_PURGED'],
    [
      'a newer copy after the purge',
      { base, log: [[started(1), chunk(1), finished(1)]], applied: at(1, 0) },
      'load 1 with ',
    ],
  ])('%s', (_name, input, expected) => {
    expect(planned(input)).toBe(expected)
  })

  test('a refusal names the statement to run', () => {
    const staged = tell(new StagedTables(), base, [manifest(5, [])])
    const found = staged.table('1')
    const plan = found && planTable({ table: found, applied: none, target: 5, newest: 5, base })
    expect(plan?.kind === 'blocked' && hasCode(plan.error, 'PIPELINE_STAGING_PURGED')).toBe(true)
    expect(plan?.kind === 'blocked' && plan.error.remedy).toBe(
      'Run: sluice refresh public.t --full',
    )
  })
})

test('chooseTarget() stops at the first barrier before which there is work', () => {
  const choose = (passed: number, workFrom: number): number =>
    chooseTarget([2, 4, 9], 9, passed, (target) => target >= workFrom)
  expect(choose(-1, 0)).toBe(2)
  expect(choose(-1, 3)).toBe(4)
  expect(choose(2, 0)).toBe(4)
  expect(choose(4, 0)).toBe(9)
  expect(choose(-1, 8)).toBe(9)
})

test('a table named again by another id takes the name over', () => {
  const other = { ...table, table_id: '2' }
  const manifests = [manifest(0, [table]), manifest(1, [other])]
  const staged = tell(new StagedTables(), emptyLogBase, manifests)
  expect(staged.current().map(({ tableId }) => tableId)).toEqual(['2'])
})

describe('a table that is gone at the source', () => {
  const loaded = [table, started(0), chunk(0), finished(0)]
  const gone: ManifestEntry = { kind: 'gap', table_id: '1', reason: 'gone', gone: true }

  test.each<[string, Case, string]>([
    ['never loaded', { log: [loaded, [changes(0)], [gone]] }, 'gone'],
    [
      'with changes left',
      { log: [loaded, [changes(0)], [gone]], applied: at(0, 0) },
      'changes 0 with 1',
    ],
    ['applied', { log: [loaded, [changes(0)], [gone]], applied: at(1, 0) }, 'gone'],
    [
      'not yet at the target',
      { log: [loaded, [], [gone]], applied: at(0, 0), target: 1 },
      'nothing',
    ],
    ['after a gap of another kind', { log: [loaded, [gap], [gone]], applied: at(0, 0) }, 'gone'],
    [
      'back, not copied yet',
      { log: [loaded, [gone], [started(1)]], applied: at(0, 0) },
      'PIPELINE_TABLE_GAP',
    ],
    [
      'back and copied',
      { log: [loaded, [gone], [started(1), chunk(1), finished(1)]], applied: at(0, 0) },
      'load 1 with ',
    ],
    [
      'purged',
      {
        log: [[]],
        base: {
          first: 5,
          tables: [
            { table_id: '1', last_commit: 4, entries: [table, started(0), finished(0), gone] },
          ],
        },
        applied: at(3, 0),
      },
      'gone',
    ],
  ])('%s', (_name, given, expected) => {
    expect(planned(given)).toBe(expected)
  })
})

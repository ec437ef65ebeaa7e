/** Whoever began with a checkpoint plans as if it had been told the whole log. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { baseAt, logTables, randomLogs } from '../../test/support/random-log.ts'
import { tell } from '../../test/support/staging-fixtures.ts'
import { digestPoint } from '../destination/destination-state.ts'
import { decodeCheckpoint, encodeCheckpoint } from '../staging/checkpoint-codec.ts'
import { CheckpointFold } from '../staging/checkpoint.ts'
import { emptyLogBase, type LogBase } from '../staging/log-base.ts'
import type { CommitNumber, Manifest } from '../staging/manifest.ts'
import { StagedTables } from '../staging/staged-tables.ts'
import { type AppliedState, chooseTarget, planTable, type TablePlan } from './plan.ts'

/** What a destination that was applied up to `commit` says, if it could be. */
function appliedAt(whole: StagedTables, tableId: string, commit: CommitNumber): AppliedState {
  const nothing = { snapshotId: undefined, snapshotPoint: undefined, schemaVersion: undefined }
  const copies = [...(whole.table(tableId)?.snapshots.values() ?? [])]
  const copy = copies.findLast(({ finishedAt }) => finishedAt !== undefined && finishedAt <= commit)
  if (copy === undefined) return { commit: undefined, ...nothing }
  return {
    commit,
    snapshotId: copy.started.snapshot_id,
    snapshotPoint: digestPoint(copy.started.point),
    schemaVersion: undefined,
  }
}

interface Ask {
  readonly tableId: string
  readonly applied: AppliedState
  readonly target: CommitNumber
  readonly base: LogBase
}

/** With everything recalled that it takes. */
function planned(staged: StagedTables, log: readonly Manifest[], ask: Ask): TablePlan | undefined {
  const newest = staged.newest ?? -1
  for (;;) {
    const table = staged.table(ask.tableId)
    const plan = table && planTable({ ...ask, table, newest })
    if (plan?.kind !== 'recall') return plan
    const recalling = staged.recalling([plan.recall])
    for (const manifest of log.slice(recalling.from, newest + 1)) recalling.take(manifest)
    recalling.end()
  }
}

/** Everything of a plan that work is made of. */
function contentOf(plan: TablePlan | undefined): unknown {
  if (plan?.kind === 'blocked') return { code: plan.error.code, message: plan.error.message }
  if (plan?.kind !== 'load' && plan?.kind !== 'changes') return plan
  const { started, startedAt, resumed, resumedAt, place } = plan.snapshot
  return { ...plan, snapshot: { started, startedAt, resumed, resumedAt, place } }
}

/** As a process has it that begins with a checkpoint at `at`, through its bytes. */
function begunAt(log: readonly Manifest[], at: CommitNumber, base: LogBase): StagedTables {
  const fold = new CheckpointFold()
  fold.begin(emptyLogBase)
  for (const manifest of log.slice(0, at + 1)) fold.take(manifest)
  const bytes = encodeCheckpoint(fold.checkpoint(log[at] as Manifest, 0))
  const staged = new StagedTables()
  const state = decodeCheckpoint(bytes)?.staged
  if (state === undefined) throw new Error('can not be read back')
  staged.restore(state, { commit: at, base })
  return staged
}

const asks = fc.array(fc.tuple(fc.integer({ min: -5, max: 30 }), fc.nat({ max: 40 })), {
  minLength: 3,
  maxLength: 8,
})

test('the same names, barriers and plans, whatever was applied and forgotten', () => {
  fc.assert(
    fc.property(
      randomLogs,
      fc.nat({ max: 29 }),
      fc.nat({ max: 29 }),
      asks,
      fc.array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 30 })), { maxLength: 3 }),
      (log, wishedAt, wishedFirst, wishes, forgets) => {
        const newest = log.length - 1
        const at = Math.min(wishedAt, newest)
        // Two of three logs were never purged.
        const first = wishedFirst % 3 === 0 ? Math.min(wishedFirst, at) : 0
        const base = baseAt(log, first)
        const whole = tell(new StagedTables(), emptyLogBase, log)
        const begun = begunAt(log, at, base)
        for (const manifest of log.slice(at + 1)) {
          begun.take(manifest)
          for (const [when, upTo] of forgets) {
            if (when === manifest.commit) begun.forget(() => Math.min(upTo, when))
          }
        }
        expect(begun.newest).toBe(whole.newest)
        const counting = whole.barriers.filter((barrier) => barrier > at || barrier >= first)
        expect(begun.barriers).toEqual(counting)
        for (const commit of [newest, ...counting]) {
          expect(begun.positionAt(commit)).toBe(whole.positionAt(commit))
        }
        const named = (staged: StagedTables): unknown =>
          staged.current().map(({ tableId, name, namedAt, gap, isGone, refreshedAt }) => {
            return { tableId, name, namedAt, gap, isGone, refreshedAt }
          })
        expect(named(begun)).toEqual(named(whole))
        for (const [applied, until] of wishes) {
          // An update goes to a barrier or to the newest commit.
          const target = chooseTarget(counting, newest, -1, (barrier) => barrier >= until)
          for (const tableId of logTables) {
            const state = appliedAt(whole, tableId, Math.min(applied, newest))
            const ask = { tableId, applied: state, target, base }
            expect(contentOf(planned(begun, log, ask))).toEqual(contentOf(planned(whole, log, ask)))
          }
        }
      },
    ),
    { numRuns: 3000 },
  )
})

test('what a copy in progress lacks is recalled with the first one that is finished', () => {
  const staged = new StagedTables()
  staged.begin(emptyLogBase)
  const head = { format: 1, epoch: 1, writer: 'w', created_at_ms: 0 } as const
  const places = { incarnation: '', position_before: '', position_after: '' }
  const log: Manifest[] = []
  const publish = (...entries: Manifest['entries']): void => {
    const manifest = { ...head, ...places, commit: log.length, entries }
    log.push(manifest)
    staged.take(manifest)
  }
  for (const id of logTables) {
    const named = { source_schema: 'public', source_table: `t${id}`, schema_version: 0 }
    const begun = { snapshot_id: 0, schema_version: 0, chunk_count: 1, point: 'p' }
    publish(
      { kind: 'table', table_id: id, ...named },
      { kind: 'snapshot_started', table_id: id, ...begun },
    )
  }
  const chunk = { snapshot_id: 0, schema_version: 0, chunk: 0, files: [] }
  for (const id of logTables) publish({ kind: 'snapshot_chunk', table_id: id, ...chunk })
  staged.forgetAll()
  publish({ kind: 'snapshot_finished', table_id: '1', snapshot_id: 0, rows: 0 })
  const nothing = { snapshotId: undefined, snapshotPoint: undefined, schemaVersion: undefined }
  const applied = { commit: undefined, ...nothing }
  const planOf = (tableId: string): TablePlan | undefined => {
    const table = staged.table(tableId)
    const newest = log.length - 1
    return table && planTable({ table, applied, target: newest, newest, base: emptyLogBase })
  }
  expect(planOf('1')?.kind).toBe('recall')
  const recalling = staged.recalling([{ tableId: '1', snapshotId: 0, from: 0 }])
  for (const manifest of log) recalling.take(manifest)
  recalling.end()
  expect(planOf('1')?.kind).toBe('load')
  publish({ kind: 'snapshot_finished', table_id: '2', snapshot_id: 0, rows: 0 })
  expect(planOf('2')?.kind).toBe('load')
})

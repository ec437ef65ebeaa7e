/** Forgetting what is applied, and having it recalled, changes no plan. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { tell } from '../../test/support/staging-fixtures.ts'
import { digestPoint } from '../destination/destination-state.ts'
import { emptyLogBase, type LogBase } from '../staging/log-base.ts'
import type { Manifest, ManifestEntry } from '../staging/manifest.ts'
import { BaseFold } from '../staging/purge-plan.ts'
import { type AppliedState, planTable, type TablePlan } from './plan.ts'
import { StagedTables } from '../staging/staged-tables.ts'

const kinds = [
  'start',
  'chunk',
  'resume',
  'finish',
  'changes',
  'changes',
  'changes',
  'truncate',
  'schema',
  'gap',
  'gone',
  'rename',
] as const

type Step = readonly [table: '1' | '2', kind: (typeof kinds)[number]]

interface Copy {
  id: number
  version: number
  chunk: number
  resumption: number
}

/** Entries that a gateway may write; what does not fit where a table stands is left out. */
function entryOf([id, kind]: Step, copies: Map<string, Copy>, commit: number): ManifestEntry[] {
  const name: ManifestEntry = {
    kind: 'table',
    table_id: id,
    source_schema: 'public',
    source_table: `t${id}`,
    schema_version: 0,
  }
  const copy = copies.get(id)
  if (kind === 'start') {
    const next = { id: (copy?.id ?? -1) + 1, version: copy?.version ?? 0, chunk: 0, resumption: 0 }
    copies.set(id, next)
    const begun = { snapshot_id: next.id, schema_version: next.version, chunk_count: 1 }
    return [name, { kind: 'snapshot_started', table_id: id, ...begun, point: `p${next.id}` }]
  }
  if (copy === undefined) return kind === 'rename' ? [name] : []
  const of = { table_id: id, snapshot_id: copy.id }
  const resumption = copy.resumption === 0 ? {} : { resumption: copy.resumption }
  const file = { path: `tables/${id}/${commit}`, rows: 1, bytes: 1, crc32: 0 }
  switch (kind) {
    case 'chunk': {
      const chunk = { schema_version: copy.version, chunk: copy.chunk++, files: [file] }
      return [{ kind: 'snapshot_chunk', ...of, ...chunk, ...resumption }]
    }
    case 'resume': {
      copy.resumption++
      const rest = { first_chunk: copy.chunk, chunk_count: 1, resumption: copy.resumption }
      return [{ kind: 'snapshot_resumed', ...of, ...rest, point: `r${copy.resumption}` }]
    }
    case 'finish':
      return [{ kind: 'snapshot_finished', ...of, rows: 1 }]
    case 'changes': {
      const counts = { inserts: 1, updates: 0, deletes: 0, has_absent: false }
      const range = { min_sequence: `${commit}`, max_sequence: `${commit}` }
      const version = { schema_version: copy.version }
      return [{ kind, ...of, ...version, file, ...counts, ...range, ...resumption }]
    }
    case 'truncate':
      return [{ kind, ...of, sequence: `${commit}`, ordinal: 0, ...resumption }]
    case 'schema':
      copy.version++
      return [
        { ...name, schema_version: copy.version },
        {
          kind: 'schema_change',
          ...of,
          schema_version: copy.version,
          sequence: `${commit}`,
          ordinal: 1,
        },
      ]
    case 'gap':
      return [{ kind, table_id: id, reason: 'why' }]
    case 'gone':
      return [{ kind: 'gap', table_id: id, reason: 'why', gone: true }]
    case 'rename':
      return [{ ...name, source_table: `renamed${id}` }]
    default:
      return kind satisfies never
  }
}

const begun: Step[] = [
  ['1', 'start'],
  ['1', 'chunk'],
  ['1', 'finish'],
]

const logs = fc
  .array(
    fc.array(fc.tuple(fc.constantFrom('1', '2'), fc.constantFrom(...kinds)), { maxLength: 3 }),
    {
      minLength: 1,
      maxLength: 30,
    },
  )
  .map((commits) => {
    const copies = new Map<string, Copy>()
    return [begun, ...commits].map((steps, commit): Manifest => {
      const entries = steps.flatMap((step) => entryOf(step, copies, commit))
      const head = { format: 1, commit, epoch: 1, writer: 'w', created_at_ms: commit } as const
      const places = { incarnation: '', position_before: '', position_after: `p${commit}` }
      const times = { min_commit_time_us: `${commit}`, max_commit_time_us: `${commit + 1}` }
      const range = { first_sequence: `${commit}`, last_sequence: `${commit}`, ...times }
      return { ...head, ...places, ...range, entries }
    })
  })

/** What a destination that was applied up to `commit` says, if it could be. */
function appliedAt(whole: StagedTables, tableId: string, commit: number): AppliedState {
  const nothing = { snapshotId: undefined, snapshotPoint: undefined, schemaVersion: undefined }
  const copies = [...(whole.table(tableId)?.snapshots.values() ?? [])]
  const copy = copies.findLast(({ finishedAt }) => finishedAt !== undefined && finishedAt <= commit)
  if (copy === undefined) return { commit: undefined, ...nothing }
  const versions = copy.steps.flatMap((step) =>
    step.commit <= commit && step.entry.kind === 'schema_change' ? [step.entry.schema_version] : [],
  )
  return {
    commit,
    snapshotId: copy.started.snapshot_id,
    snapshotPoint: digestPoint(copy.started.point),
    schemaVersion: versions.at(-1) ?? copy.started.schema_version,
  }
}

/** Everything of a plan that work is made of. */
function contentOf(plan: TablePlan | undefined): unknown {
  if (plan === undefined || plan.kind === 'recall') return plan?.kind
  if (plan.kind === 'blocked') return { code: plan.error.code, message: plan.error.message }
  if (plan.kind !== 'load' && plan.kind !== 'changes') return plan
  const { started, resumed, place } = plan.snapshot
  return { ...plan, snapshot: { started, resumed, place } }
}

function baseAt(manifests: readonly Manifest[], first: number): LogBase {
  const fold = new BaseFold(emptyLogBase)
  for (const manifest of manifests.slice(0, first)) fold.take(manifest)
  return first === 0 ? emptyLogBase : fold.baseAt(first)
}

test('whatever was forgotten, a plan is the same once it was recalled', () => {
  fc.assert(
    fc.property(
      logs,
      fc.array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 30 })), { maxLength: 4 }),
      fc.array(fc.tuple(fc.integer({ min: -10, max: 30 }), fc.nat({ max: 60 })), {
        minLength: 3,
      }),
      fc.nat({ max: 12 }),
      (manifests, forgets, asks, first) => {
        const whole = tell(new StagedTables(), emptyLogBase, manifests)
        const lean = new StagedTables()
        lean.begin(emptyLogBase)
        for (const manifest of manifests) {
          lean.take(manifest)
          for (const [at, upTo] of forgets) {
            if (at === manifest.commit) lean.forget(() => Math.min(upTo, at))
          }
        }
        const newest = manifests.length - 1
        const base = baseAt(manifests, Math.min(first, newest))
        for (const [applied, until] of asks) {
          const target = Math.min(until, newest)
          for (const id of ['1', '2']) {
            const known = appliedAt(whole, id, Math.min(applied, newest))
            // A destination of an earlier version does not say.
            const state = until % 3 === 0 ? { ...known, schemaVersion: undefined } : known
            const planned = (staged: StagedTables): TablePlan | undefined => {
              const table = staged.table(id)
              return table && planTable({ table, applied: state, target, newest, base })
            }
            let plan = planned(lean)
            if (plan?.kind === 'recall') {
              const recalling = lean.recalling([plan.recall])
              for (const manifest of manifests.slice(recalling.from)) recalling.take(manifest)
              recalling.end()
              plan = planned(lean)
            }
            expect(contentOf(plan)).toEqual(contentOf(planned(whole)))
          }
        }
      },
    ),
    { numRuns: 2000 },
  )
})

test('of a long log that is told from its beginning, old commits are not kept', () => {
  const copies = new Map<string, Copy>()
  const staged = new StagedTables()
  staged.begin(emptyLogBase)
  let most = 0
  for (let commit = 0; commit < 45_000; commit++) {
    const steps: Step[] = commit === 0 ? begun : [['1', 'changes']]
    const entries = steps.flatMap((step) => entryOf(step, copies, commit))
    const head = { format: 1, commit, epoch: 1, writer: 'w', created_at_ms: 0 } as const
    const places = { incarnation: '', position_before: '', position_after: '' }
    staged.take({ ...head, ...places, entries })
    most = Math.max(most, staged.table('1')?.snapshots.get(0)?.steps.length ?? 0)
  }
  expect(most).toBeGreaterThanOrEqual(10_000)
  expect(most).toBeLessThanOrEqual(20_001)
  const [table, applied] = [staged.table('1'), appliedAt(staged, '1', 44_990)]
  const of = { applied, target: 44_999, newest: 44_999, base: emptyLogBase }
  const plan = table && planTable({ table, ...of })
  expect(plan?.kind === 'changes' && plan.steps.map(({ commit }) => commit)).toEqual([
    44_991, 44_992, 44_993, 44_994, 44_995, 44_996, 44_997, 44_998, 44_999,
  ])
  const behind = table && planTable({ table, ...of, applied: { ...applied, commit: 7 } })
  const recall = { tableId: '1', snapshotId: 0, from: 8 }
  expect(behind).toEqual({ kind: 'recall', recall })
})

test('what is applied is no longer kept, however much it was', () => {
  const copies = new Map<string, Copy>()
  const staged = new StagedTables()
  staged.begin(emptyLogBase)
  for (let commit = 0; commit < 1000; commit++) {
    const steps: Step[] = commit === 0 ? begun : [['1', 'changes']]
    const entries = steps.flatMap((step) => entryOf(step, copies, commit))
    const head = { format: 1, commit, epoch: 1, writer: 'w', created_at_ms: 0 } as const
    const places = { incarnation: '', position_before: '', position_after: '' }
    staged.take({ ...head, ...places, entries })
    staged.forget(() => commit - 1)
    const [copy] = [...(staged.table('1')?.snapshots.values() ?? [])]
    expect(copy?.steps.length).toBeLessThanOrEqual(1)
    expect(copy?.chunks.size).toBe(commit === 0 ? 1 : 0)
  }
})

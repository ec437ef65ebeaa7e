/** One destination table of a pipeline: its state between updates, its plan and its apply. */
import { asSluiceError, type SluiceError } from '../base/errors.ts'
import { applyWork, type ApplyOutcome } from '../destination/apply.ts'
import type { DestinationColumns, UnfitPolicy } from '../destination/destination-columns.ts'
import {
  destinationState,
  digestPoint,
  isSameShape,
  type DestinationState,
} from '../destination/destination-state.ts'
import { keepsHistory } from '../destination/destination-kind.ts'
import { emptyQuarantine } from '../destination/quarantine.ts'
import type {
  HistoryPlan,
  TableCopyPoint,
  TableTools,
  TableWork,
} from '../destination/table-work.ts'
import { withEnoughMemory } from '../engine/enough-memory.ts'
import type { Log } from '../observe/log.ts'
import type { LogBase } from '../staging/log-base.ts'
import type { CommitNumber, Manifest } from '../staging/manifest.ts'
import type { StagingReader } from '../staging/staging-reader.ts'
import { goneError, othersCodes, troubleOf } from './gone-table.ts'
import type { PipelineTableStatus } from './pipeline-status.ts'
import { isGoneAt, planTable, type AppliedState, type TablePlan } from './plan.ts'
import type { StagedSnapshot, StagedTable } from './staged-tables.ts'
import { formatDestinationName, isNamed, type TableRoute } from './table-selection.ts'
import { TableSchemas, type WorkColumns } from './table-schemas.ts'

/** The staging log as one update sees it. */
export interface StagedView {
  readonly base: LogBase
  /** Ascending and dense. */
  readonly manifests: readonly Manifest[]
  readonly newest: CommitNumber
}

export interface TableRunnerOptions {
  readonly route: TableRoute
  readonly tools: TableTools
  readonly staging: StagingReader
  readonly log: Log
  readonly unfitValues: UnfitPolicy
}

/** A table overtaken by another process plans again this often in one update. */
const maximumPlans = 5
/** How long a trouble that needs a person is left alone before it is looked at again. */
const remedyPauseMs = 10_000

interface Problem {
  readonly error: SluiceError
  readonly atMs: number
  /** Copy of the table it happened with; a newer copy is a new chance at once. */
  readonly snapshotId: number | undefined
}

export class TableRunner {
  readonly route: TableRoute
  readonly #options: TableRunnerOptions
  #state: DestinationState | undefined
  #problem: Problem | undefined
  readonly #schemas: TableSchemas
  #isQuarantineEnded = false
  #isGone = false
  #isOthers = false
  /** Loads of the whole table by this object. */
  loads = 0
  readonly #counts = { rowsLoaded: 0, inserts: 0, updates: 0, deletes: 0 }

  constructor(options: TableRunnerOptions) {
    this.route = options.route
    this.#options = options
    const { tableId, selection } = options.route
    this.#schemas = new TableSchemas(options.staging, tableId, {
      ...selection,
      unfit: options.unfitValues,
    })
  }

  get problem(): SluiceError | undefined {
    return this.#problem?.error
  }

  /** Reads the table's state when it is not known. A failure is the table's problem, not thrown. */
  async open(isGone = false): Promise<void> {
    if (this.#state !== undefined) return
    const { tools } = this.#options
    try {
      this.#state = destinationState(await tools.table.snapshot(), tools.identity)
      this.#isOthers = false
    } catch (thrown) {
      const error = asSluiceError(thrown)
      // What is there is another's, so the table that is gone left nothing.
      this.#isOthers = isGone && !isNamed(this.route.selection) && othersCodes.has(error.code)
      if (!this.#isOthers) this.#remember(error, undefined)
    }
  }

  /** Resolves when nothing is being written to the table any more. */
  settled(): Promise<void> {
    return this.#options.tools.table.settled()
  }

  /** Whether the table has something to do before `target` that is not known to fail. */
  hasWork(table: StagedTable, target: CommitNumber, view: StagedView): boolean {
    if (this.#state === undefined) return false
    const plan = planTable({
      table,
      applied: appliedOf(this.#state),
      target,
      newest: view.newest,
      base: view.base,
    })
    return plan.kind === 'load' || plan.kind === 'changes'
  }

  /** Applies what is staged up to `target`; true when a commit was made. Never throws. */
  async update(table: StagedTable, target: CommitNumber, view: StagedView): Promise<boolean> {
    this.#isGone = isGoneAt(table, target)
    if (!this.#isGone && this.#isPaused(table, target)) return false
    let isCommitted = false
    try {
      await this.open(this.#isGone)
      if (this.#state === undefined) return false
      isCommitted = await this.#apply(table, target, view)
      // What was staged before a gap is applied, and the gap is a problem all the same.
      if (isCommitted) await this.#plan(table, target, view)
      await this.#endQuarantine()
      if (this.#problem !== undefined) this.#options.log.info('table goes on', this.#fields())
      this.#problem = undefined
      return isCommitted
    } catch (error) {
      this.#remember(asSluiceError(error), newestSnapshotId(table, target))
      return isCommitted
    }
  }

  status(): PipelineTableStatus {
    const error = this.#problem?.error
    const isGone = this.#isGone && error === undefined
    return {
      tableId: this.route.tableId,
      source: this.route.source,
      destination: formatDestinationName(this.route.destination),
      scdType: this.route.selection.scdType,
      appliedCommit: this.#state?.applied,
      version: this.#state?.snapshot?.version,
      ...this.#counts,
      ...(error === undefined ? {} : { problem: troubleOf(error) }),
      ...(isGone ? { gone: troubleOf(goneError(this.route)) } : {}),
    }
  }

  /** The source has the table no more, and it was never loaded: nobody needs to hear of it. */
  get isForgotten(): boolean {
    if (!this.#isGone || isNamed(this.route.selection)) return false
    return this.#isOthers || (this.#state !== undefined && this.#state.applied === undefined)
  }

  async #apply(table: StagedTable, target: CommitNumber, view: StagedView): Promise<boolean> {
    for (let planned = 0; planned < maximumPlans; planned++) {
      const work = await this.#plan(table, target, view)
      if (work === undefined) return false
      const outcome = await this.#tryWork(work)
      this.#state = outcome.state
      if (outcome.kind === 'committed') {
        this.#count(work)
        return true
      }
    }
    return false
  }

  /** With more and more of the engine's memory, as long as it is that which lacks. */
  async #tryWork(work: TableWork): Promise<ApplyOutcome> {
    const { tools, log } = this.#options
    return await withEnoughMemory(
      tools.engine,
      () => applyWork(tools, work, this.#known()),
      (limitBytes) => {
        const mebibytes = Math.round(limitBytes / 2 ** 20)
        log.info('the engine takes more memory', { ...this.#fields(), mebibytes })
      },
    )
  }

  /** undefined: nothing to do. Throws when something is in the way. */
  async #plan(
    table: StagedTable,
    target: CommitNumber,
    view: StagedView,
  ): Promise<TableWork | undefined> {
    const input = { table, target, newest: view.newest, base: view.base }
    const state = this.#known()
    let plan = planTable({ ...input, applied: appliedOf(state) })
    let from = versionOf(plan, state, table)
    if (plan.kind === 'gone') {
      // Asked for by name, so it is missed.
      if (isNamed(this.route.selection)) throw goneError(this.route)
      return undefined
    }
    if (from !== undefined && plan.kind !== 'load' && state.columns !== undefined) {
      const present = await this.#schemas.columnsBefore(from)
      if (!isSameShape(state, present)) {
        // The selection of columns or the policy for unfit values changed: the copy is loaded anew.
        this.#options.log.info('table is loaded anew, its settings changed', this.#fields())
        plan = planTable({ ...input, applied: nothingApplied })
        from = versionOf(plan, state, table)
      }
    }
    if (plan.kind === 'blocked') throw plan.error
    if (from === undefined || (plan.kind !== 'load' && plan.kind !== 'changes')) return undefined
    const columns = await this.#schemas.workColumns(plan, from)
    const history = historyOf(plan, { state, columns: columns.columns, table })
    return toWork(plan, { columns, target, view, history, from: state.applied })
  }

  /** Under another policy the destination has the rows that were held back. */
  async #endQuarantine(): Promise<void> {
    const { tools, unfitValues } = this.#options
    if (this.#isQuarantineEnded || unfitValues === 'quarantine') return
    const { applied, unfit } = this.#known()
    if (applied === undefined || unfit === 'quarantine') return
    await emptyQuarantine(tools)
    this.#isQuarantineEnded = true
  }

  #known(): DestinationState {
    if (this.#state === undefined) throw new RangeError('the table is not open')
    return this.#state
  }

  #isPaused(table: StagedTable, target: CommitNumber): boolean {
    const problem = this.#problem
    if (problem === undefined || problem.error.retry === 'backoff') return false
    if (problem.snapshotId !== newestSnapshotId(table, target)) return false
    return this.#options.tools.clock.elapsedMs() - problem.atMs < remedyPauseMs
  }

  #remember(error: SluiceError, snapshotId: number | undefined): void {
    // What is known of the table may be what went wrong.
    this.#state = undefined
    if (this.#problem?.error.code !== error.code) {
      const fields = { code: error.code, message: error.message, remedy: error.remedy }
      this.#options.log.error('table has a problem', { ...this.#fields(), ...fields })
    }
    this.#problem = { error, snapshotId, atMs: this.#options.tools.clock.elapsedMs() }
  }

  #count(work: TableWork): void {
    if (work.kind === 'load') this.loads++
    for (const { files } of work.chunks) {
      for (const file of files) this.#counts.rowsLoaded += file.rows
    }
    for (const step of work.steps) {
      if (step.kind !== 'changes') continue
      this.#counts.inserts += step.inserts
      this.#counts.updates += step.updates
      this.#counts.deletes += step.deletes
    }
  }

  #fields(): { readonly table: string } {
    return { table: formatDestinationName(this.route.destination) }
  }
}

const nothingApplied: AppliedState = {
  commit: undefined,
  snapshotId: undefined,
  snapshotPoint: undefined,
  schemaVersion: undefined,
}

function appliedOf(state: DestinationState): AppliedState {
  const { applied, snapshotId, snapshotPoint, schemaVersion } = state
  return { commit: applied, snapshotId, snapshotPoint, schemaVersion }
}

/** Schema version that the work begins from; undefined: there is none to tell it by. */
function versionOf(
  plan: TablePlan,
  state: DestinationState,
  table: StagedTable,
): number | undefined {
  if (plan.kind === 'blocked' || plan.kind === 'gone') return undefined
  if (plan.kind === 'load') return plan.snapshot.started.schema_version
  const snapshot =
    plan.kind === 'changes' ? plan.snapshot : table.snapshots.get(state.snapshotId ?? -1)
  if (snapshot === undefined) return undefined
  return state.schemaVersion ?? snapshot.started.schema_version
}

/** What a load does to the history that the table may have; a full refresh ends it. */
function historyOf(
  plan: Extract<TablePlan, { kind: 'load' | 'changes' }>,
  context: {
    readonly state: DestinationState
    readonly columns: DestinationColumns
    readonly table: StagedTable
  },
): HistoryPlan {
  const { state, columns, table } = context
  if (plan.kind !== 'load' || !keepsHistory(columns.kind)) return 'replaced'
  const isRefreshed = (table.refreshedAt ?? -1) > (state.applied ?? Number.POSITIVE_INFINITY)
  if (state.kind !== columns.kind || isRefreshed) return 'replaced'
  const { started } = plan.snapshot
  const isSameCopy =
    state.snapshotId === started.snapshot_id && state.snapshotPoint === digestPoint(started.point)
  return isSameCopy && state.applied !== undefined ? 'compared' : 'continued'
}

/** Of the copies that are finished by `target`: a later one is not what was tried. */
function newestSnapshotId(table: StagedTable, target: CommitNumber): number | undefined {
  let newest: number | undefined
  for (const [id, snapshot] of table.snapshots) {
    const isFinished = snapshot.finishedAt !== undefined && snapshot.finishedAt <= target
    if (isFinished && (newest === undefined || id > newest)) newest = id
  }
  return newest
}

function toWork(
  plan: Extract<TablePlan, { kind: 'load' | 'changes' }>,
  context: {
    readonly columns: WorkColumns
    readonly target: CommitNumber
    readonly view: StagedView
    readonly history: HistoryPlan
    readonly from: CommitNumber | undefined
  },
): TableWork {
  const { columns, target, view, from, history } = context
  const { manifests } = view
  const first = manifests[0]?.commit ?? 0
  const times = plan.steps.flatMap(({ commit }) => {
    const { min_commit_time_us: min, max_commit_time_us: max } = manifests[commit - first] ?? {}
    return min === undefined || max === undefined ? [] : [{ min: BigInt(min), max: BigInt(max) }]
  })
  const { started } = plan.snapshot
  return {
    kind: plan.kind,
    snapshotId: started.snapshot_id,
    snapshotPoint: digestPoint(started.point),
    schemaVersion: columns.schemaVersion,
    columns: columns.columns,
    ...(columns.evolution === undefined ? {} : { evolution: columns.evolution }),
    upgrades: columns.upgrades,
    history,
    ...(plan.kind === 'load' ? { copy: copyPoint(plan.snapshot, view) } : {}),
    chunks: plan.kind === 'load' ? plan.chunks : [],
    superseding: plan.kind === 'load' ? plan.superseding : [],
    steps: plan.steps.map(({ entry }) => entry),
    from,
    target,
    source: {
      position: manifests[target - first]?.position_after ?? '',
      ...(times.length === 0
        ? {}
        : {
            minCommitTimeUs: String(
              times.reduce((a, b) => (b.min < a ? b.min : a), times[0]?.min ?? 0n),
            ),
            maxCommitTimeUs: String(
              times.reduce((a, b) => (b.max > a ? b.max : a), times[0]?.max ?? 0n),
            ),
          }),
    },
  }
}

/**
 * Where a copy stands among the changes. Transactions that were staged before it began are before
 * it; changes that continue it are of later ones.
 */
function copyPoint(snapshot: StagedSnapshot, { manifests, base }: StagedView): TableCopyPoint {
  const startedAt = snapshot.resumedAt ?? snapshot.startedAt ?? 0
  const before = manifests.filter(({ commit }) => commit <= startedAt)
  const last = before.findLast(({ last_sequence }) => last_sequence !== undefined)?.last_sequence
  const { taken_at_us: takenAtUs } = snapshot.resumed ?? snapshot.started
  const created = BigInt(before.at(-1)?.created_at_ms ?? 0) * 1000n
  return {
    takenAtUs: takenAtUs === undefined ? created : BigInt(takenAtUs),
    sequence: BigInt(last ?? base.last_sequence ?? -1) + 1n,
  }
}

/** One destination table of a pipeline: its state between updates, its plan and its apply. */
import { asSluiceError, type SluiceError, troubleOf } from '../base/errors.ts'
import { applyWork, type ApplyOutcome } from '../destination/apply.ts'
import type { UnfitPolicy } from '../destination/destination-columns.ts'
import {
  destinationState,
  isSameShape,
  type DestinationState,
} from '../destination/destination-state.ts'
import { emptyQuarantine } from '../destination/quarantine.ts'
import type { TableTools, TableWork } from '../destination/table-work.ts'
import { withEnoughMemory } from '../engine/enough-memory.ts'
import type { Log } from '../observe/log.ts'
import type { LogBase } from '../staging/log-base.ts'
import type { CommitNumber } from '../staging/manifest.ts'
import type { StagingReader } from '../staging/staging-reader.ts'
import { goneError, othersCodes } from './gone-table.ts'
import type { PipelineTableStatus } from './pipeline-status.ts'
import { historyOf, toWork } from './make-work.ts'
import { isGoneAt, planTable, type AppliedState, type TablePlan } from './plan.ts'
import type { Recall } from '../staging/recalling.ts'
import { newestFinished, type StagedTable } from '../staging/staged-table.ts'
import { formatDestinationName, isNamed, type TableRoute } from './table-selection.ts'
import { TableSchemas } from './table-schemas.ts'

/** The staging log as one update sees it. */
export interface StagedView {
  readonly base: LogBase
  readonly newest: CommitNumber
  /** Place in the source's log after the commit that an update goes to. */
  readonly positionAt: (target: CommitNumber) => string
  /** As `StagingReader.sealOf`. */
  readonly sealOf: (commit: CommitNumber) => Promise<number | undefined>
}

export type TableUpdate =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'committed' }
  /** Nothing was done; it is to be asked again once this was read again. */
  | { readonly kind: 'recall'; readonly recall: Recall }

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

const nothingDone: TableUpdate = { kind: 'nothing' }

/** Whatever is staged on top of the copy that the table has, or does not get, is of no use. */
const endedCodes: ReadonlySet<string> = new Set([
  ...othersCodes,
  'PIPELINE_STAGING_PURGED',
  'PIPELINE_STAGING_REPLACED',
])

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
  /** What was applied was compared with the log since the state was read. */
  #isCompared = false
  #isReplaced = false
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
      this.#isCompared = this.#isReplaced = false
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
      applied: appliedOf(this.#state, this.#isReplaced),
      target,
      newest: view.newest,
      base: view.base,
    })
    return plan.kind === 'load' || plan.kind === 'changes' || plan.kind === 'recall'
  }

  /**
   * Commit up to which nothing that is staged of the table is needed any more; undefined: all of it
   * may be.
   */
  get needsNothingUpTo(): CommitNumber | undefined {
    const problem = this.#problem?.error.code
    if (problem !== undefined) return endedCodes.has(problem) ? Number.POSITIVE_INFINITY : undefined
    if (this.isForgotten) return Number.POSITIVE_INFINITY
    return this.#state?.applied
  }

  /** Applies what is staged up to `target`. Never throws. */
  async update(table: StagedTable, target: CommitNumber, view: StagedView): Promise<TableUpdate> {
    this.#isGone = isGoneAt(table, target)
    if (!this.#isGone && this.#isPaused(table, target)) return nothingDone
    let done: TableUpdate = nothingDone
    try {
      await this.open(this.#isGone)
      if (this.#state === undefined) return done
      done = await this.#apply(table, target, view)
      if (done.kind === 'recall') return done
      // What was staged before a gap is applied, and the gap is a problem all the same.
      if (done.kind === 'committed') await this.#plan(table, target, view)
      await this.#endQuarantine()
      if (this.#problem !== undefined) this.#options.log.info('table goes on', this.#fields())
      this.#problem = undefined
    } catch (error) {
      this.#remember(asSluiceError(error), newestSnapshotId(table, target))
    }
    return done
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

  async #apply(table: StagedTable, target: CommitNumber, view: StagedView): Promise<TableUpdate> {
    for (let planned = 0; planned < maximumPlans; planned++) {
      const work = await this.#plan(table, target, view)
      if (work === undefined) return nothingDone
      if (work.kind === 'recall') return work
      const outcome = await this.#tryWork(work)
      this.#state = outcome.state
      this.#isReplaced = false
      if (outcome.kind === 'committed') {
        this.#count(work)
        return { kind: 'committed' }
      }
    }
    return nothingDone
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
  ): Promise<TableWork | Extract<TablePlan, { kind: 'recall' }> | undefined> {
    const input = { table, target, newest: view.newest, base: view.base }
    const state = this.#known()
    let plan = planTable({ ...input, applied: appliedOf(state, this.#isReplaced) })
    if (!this.#isCompared || plan.kind === 'changes') {
      await this.#compareLog(view)
      plan = planTable({ ...input, applied: appliedOf(state, this.#isReplaced) })
    }
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
    if (plan.kind === 'recall') return plan
    if (from === undefined || (plan.kind !== 'load' && plan.kind !== 'changes')) return undefined
    const columns = await this.#schemas.workColumns(plan, from)
    const history = historyOf(plan, { state, columns: columns.columns, table })
    const position = view.positionAt(target)
    const targetSeal = await view.sealOf(target)
    return toWork(plan, { columns, target, targetSeal, position, history, from: state.applied })
  }

  /**
   * A volume that was put back from an older copy, or lost its newest manifests, goes on with other
   * ones under the numbers that are applied already: what they hold would be passed over.
   */
  async #compareLog(view: StagedView): Promise<void> {
    const { applied, appliedSeal } = this.#known()
    if (applied !== undefined && appliedSeal !== undefined) {
      const found = await view.sealOf(applied)
      this.#isReplaced = found !== undefined && found !== appliedSeal
    }
    this.#isCompared = true
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
      const { code, message, remedy } = error
      // The gateway copies it anew, and says so itself where it can not.
      if (code === 'PIPELINE_TABLE_GAP') {
        this.#options.log.info('table waits for a new copy', this.#fields())
      } else {
        const fields = { ...this.#fields(), code, reason: message, remedy }
        this.#options.log.error('table has a problem', fields)
      }
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

function appliedOf(state: DestinationState, isReplaced: boolean): AppliedState {
  const { applied, reached, snapshotId, snapshotPoint, schemaVersion } = state
  return { commit: applied, reached, snapshotId, snapshotPoint, schemaVersion, isReplaced }
}

/** Schema version that the work begins from; undefined: there is none to tell it by. */
function versionOf(
  plan: TablePlan,
  state: DestinationState,
  table: StagedTable,
): number | undefined {
  if (plan.kind === 'blocked' || plan.kind === 'gone' || plan.kind === 'recall') return undefined
  if (plan.kind === 'load') return plan.snapshot.started.schema_version
  const snapshot =
    plan.kind === 'changes' ? plan.snapshot : table.snapshots.get(state.snapshotId ?? -1)
  if (snapshot === undefined) return undefined
  return state.schemaVersion ?? snapshot.started.schema_version
}

/** Of the copies that are finished by `target`: a later one is not what was tried. */
function newestSnapshotId(table: StagedTable, target: CommitNumber): number | undefined {
  return newestFinished(table.snapshots, target)?.started.snapshot_id
}

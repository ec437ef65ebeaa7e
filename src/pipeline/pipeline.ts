/** An ingestion pipeline: staged commits → destination tables, table by table, update by update. */
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError, SluiceError } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { UnfitPolicy } from '../destination/destination-columns.ts'
import type { OtherPipelines } from '../destination/destination-state.ts'
import { quarantineName } from '../destination/quarantine.ts'
import { openDestination } from '../destination/open-destination.ts'
import type { TableTools } from '../destination/table-work.ts'
import type { Log } from '../observe/log.ts'
import type { CommitNumber, StagedFile } from '../staging/manifest.ts'
import { mapConcurrent } from '../staging/map-concurrent.ts'
import type { LogSink } from '../staging/read-log.ts'
import type { StagingReader } from '../staging/staging-reader.ts'
import { verifyStagedFile } from '../staging/verify-staged-file.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { CommitDelays, FreshnessRecorder } from './freshness.ts'
import { createNews, type News } from './news.ts'
import type {
  Pipeline,
  PipelineStatus,
  PipelineTableStatus,
  UpdateResult,
} from './pipeline-status.ts'
import { chooseTarget } from './plan.ts'
import type { Recall } from '../staging/recalling.ts'
import { StagedTables } from '../staging/staged-tables.ts'
import { TableRunner, type StagedView } from './table-runner.ts'
import {
  anyName,
  checkSelections,
  formatDestinationName,
  routeTables,
  rulesUnder,
  type DestinationName,
  type NameRules,
  type Routing,
  type TableRoute,
  type TableSelection,
} from './table-selection.ts'

export interface PipelineOptions {
  readonly pipelineId: string
  /** What is known of other pipelines; without it no table of theirs is taken over. */
  readonly others?: OtherPipelines
  readonly staging: StagingReader
  /** Where a destination table lives. */
  readonly lake: (name: DestinationName) => {
    readonly storage: ObjectStorage
    /** Folder of the table inside `storage`, without a slash at the end. */
    readonly root: string
  }
  readonly engine: TableTools['engine']
  readonly tables: readonly TableSelection[]
  /** What is done about values that a destination's types can not hold. Default: fail. */
  readonly unfitValues?: UnfitPolicy
  /** Default: any text names a destination table as it stands. */
  readonly names?: NameRules
  readonly clock: SteadyClock
  readonly log: Log
  readonly failpoints: Failpoints
  readonly productVersion: string
  /** Tables worked on at once. Default 3: while one waits for the disk, another computes. */
  readonly concurrency?: number
  /** Wakes `run` as soon as something is staged; without it staging is looked at every 200 ms or less often. */
  readonly news?: News
}

/** Pauses between looks at staging while nothing happens: doubled from the first to the second. */
const shortPauseMs = 200
const longPauseMs = 2000
/** What a table lacks may turn out only when it is planned: its settings changed. */
const maximumRecalls = 5

interface NeededRecall {
  readonly runner: TableRunner
  readonly recall: Recall
}

/** Throws PIPELINE_NAME_COLLISION; touches nothing yet. */
export function createPipeline(options: PipelineOptions): Pipeline {
  checkSelections(options.tables)
  return new StagedPipeline(options)
}

class StagedPipeline implements Pipeline {
  readonly #options: PipelineOptions
  readonly #staged = new StagedTables()
  readonly #runners = new Map<string, TableRunner>()
  readonly #freshness = new FreshnessRecorder()
  readonly #delays = new CommitDelays()
  /** Is told the staging log. */
  readonly #told: LogSink = {
    begin: (base) => {
      this.#staged.begin(base)
      this.#delays.clear()
    },
    resume: (checkpoint, base) => {
      this.#staged.restore(checkpoint.staged, { commit: checkpoint.commit, base })
      this.#delays.clear()
    },
    take: (manifest) => {
      this.#staged.take(manifest)
      this.#delays.take(manifest)
    },
  }
  /** Files found whole; the paths of a volume are never written twice. */
  readonly #verified = new Set<string>()
  #refused: Routing['refused'] = []
  #updates = 0
  /** Target of the last update of this process. */
  #passed: CommitNumber = -1

  constructor(options: PipelineOptions) {
    this.#options = options
  }

  async update({ signal }: { readonly signal: AbortSignal }): Promise<UpdateResult> {
    try {
      return await this.#update(signal)
    } finally {
      await this.#settled()
    }
  }

  /** What commits left for later may still be at work when it resolves. */
  async #update(signal: AbortSignal): Promise<UpdateResult> {
    const { staging } = this.#options
    await staging.refresh(this.#told)
    const base = staging.base()
    const newest = this.#staged.newest
    const runners = this.#route()
    if (newest === undefined) return this.#result(undefined, 0, true)
    const positionAt = (commit: CommitNumber): string => this.#staged.positionAt(commit)
    const sealOf = sealsOf(staging)
    const view: StagedView = { base, newest, positionAt, sealOf }
    const concurrency = this.#options.concurrency ?? 3
    await mapConcurrent(runners.length, concurrency, async (n) => {
      const runner = runners[n]
      await runner?.open(this.#staged.table(runner.route.tableId)?.isGone)
    })
    // What a former process had made visible did not wait for this one.
    if (this.#passed < 0) this.#delays.forget(appliedBefore(runners))
    const target = chooseTarget(this.#staged.barriers, newest, this.#passed, (barrier) =>
      runners.some((runner) => this.#hasWork(runner, barrier, view)),
    )
    const loads = this.#loads()
    let committed = 0
    let left = runners
    for (let recalled = 0; left.length > 0 && recalled < maximumRecalls; recalled++) {
      const done = await this.#updateTables(left, { target, view, signal })
      committed += done.committed
      left = done.recalls.map(({ runner }) => runner)
      if (
        !(await this.#recall(
          done.recalls.map(({ recall }) => recall),
          newest,
        ))
      ) {
        // A purge went past it: the next plan knows.
        return await this.#update(signal)
      }
    }
    if (committed > 0 && this.#loads() === loads) {
      this.#delays.record(this.#freshness, target, this.#options.clock.nowMs())
    }
    this.#delays.forget(target)
    this.#forgetApplied(newest)
    this.#passed = target
    this.#updates++
    this.#verified.clear()
    return this.#result(target, committed, target === newest)
  }

  async #updateTables(
    runners: readonly TableRunner[],
    context: {
      readonly target: CommitNumber
      readonly view: StagedView
      readonly signal: AbortSignal
    },
  ): Promise<{ readonly committed: number; readonly recalls: readonly NeededRecall[] }> {
    const { target, view, signal } = context
    let committed = 0
    const recalls: NeededRecall[] = []
    await mapConcurrent(runners.length, this.#options.concurrency ?? 3, async (n) => {
      const runner = runners[n]
      const table = runner === undefined ? undefined : this.#staged.table(runner.route.tableId)
      if (runner === undefined || table === undefined) return
      if (signal.aborted) throw new SluiceError('ABORTED', 'the update was stopped')
      const done = await runner.update(table, target, view)
      if (done.kind === 'recall') recalls.push({ runner, recall: done.recall })
      if (done.kind !== 'committed') return
      committed++
      this.#options.failpoints.hit('pipeline.between-tables')
    })
    return { committed, recalls }
  }

  /** Reads the log once more, for all of them together. False when a purge went past it meanwhile. */
  async #recall(recalls: readonly Recall[], newest: CommitNumber): Promise<boolean> {
    const { staging, log } = this.#options
    const recalling = this.#staged.recalling(recalls)
    const { from } = recalling
    if (from === undefined) return true
    log.info('the staging log is read again', { from, to: newest, tables: recalls.length })
    try {
      await staging.again({ from, end: newest + 1 }, (manifest) => recalling.take(manifest))
    } catch (error) {
      if ((await staging.currentBase()).first > from) return false
      throw error
    }
    recalling.end()
    return true
  }

  /** Of tables that several destinations have, what the last of them still needs is kept. */
  #forgetApplied(newest: CommitNumber): void {
    const needed = new Map<string, CommitNumber | undefined>()
    for (const { route, needsNothingUpTo: upTo } of this.#runners.values()) {
      const known = needed.has(route.tableId) ? needed.get(route.tableId) : newest
      const isAllKept = known === undefined || upTo === undefined
      needed.set(route.tableId, isAllKept ? undefined : Math.min(known, upTo))
    }
    this.#staged.forget((tableId) => (needed.has(tableId) ? needed.get(tableId) : newest))
  }

  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    try {
      await this.#run(signal)
    } finally {
      await this.#settled()
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const news = this.#options.news ?? createNews()
    let pauseMs = shortPauseMs
    while (!signal.aborted) {
      let isIdle = true
      try {
        const result = await this.#update(signal)
        isIdle = result.committedTables === 0 && result.caughtUp
      } catch (error) {
        if (signal.aborted) return
        const { code, message, retry } = asSluiceError(error)
        if (retry !== 'backoff') throw error
        this.#options.log.warn('update failed, trying again', { code, reason: message })
      }
      pauseMs = isIdle ? Math.min(longPauseMs, pauseMs * 2) : shortPauseMs
      await news.wait(pauseMs, signal)
    }
  }

  status(): PipelineStatus {
    return {
      tables: [
        ...[...this.#runners.values()]
          .filter((runner) => !runner.isForgotten)
          .map((runner) => runner.status()),
        ...this.#refusedStatus(),
      ],
      freshness: this.#freshness.status(),
      updates: this.#updates,
      ...(this.#passed < 0 ? {} : { passedCommit: this.#passed }),
    }
  }

  async #settled(): Promise<void> {
    await Promise.all([...this.#runners.values()].map((runner) => runner.settled()))
  }

  /** How often a table was loaded. */
  #loads(): number {
    return [...this.#runners.values()].reduce((sum, runner) => sum + runner.loads, 0)
  }

  #hasWork(runner: TableRunner, target: CommitNumber, view: StagedView): boolean {
    const table = this.#staged.table(runner.route.tableId)
    return table !== undefined && runner.hasWork(table, target, view)
  }

  /** The runners of the tables staged now; new ones are made, state of known ones is kept. */
  #route(): readonly TableRunner[] {
    const { tables, names = anyName, unfitValues } = this.#options
    const rules = rulesUnder(unfitValues, names)
    const { routes, refused } = routeTables(this.#staged.current(), tables, rules)
    this.#refused = refused
    const wanted = new Map(routes.map((route) => [routeKey(route), route]))
    for (const key of this.#runners.keys()) if (!wanted.has(key)) this.#runners.delete(key)
    for (const [key, route] of wanted) {
      if (!this.#runners.has(key)) this.#runners.set(key, this.#createRunner(route))
    }
    return [...this.#runners.values()]
  }

  #createRunner(route: TableRoute): TableRunner {
    const { staging, clock, failpoints, engine, log, productVersion } = this.#options
    const name = formatDestinationName(route.destination)
    const tableLog = log.child({ table: name })
    const table = openDestination({
      ...this.#options.lake(route.destination),
      clock,
      failpoints,
      log: tableLog,
    })
    const beside = { ...route.destination, table: quarantineName(route.destination.table) }
    const quarantine = openDestination({
      ...this.#options.lake(beside),
      clock,
      failpoints,
      log: tableLog,
    })
    const { pipelineId, others } = this.#options
    const owning = { pipelineId, ...(others === undefined ? {} : { others }) }
    const tools: TableTools = {
      identity: { ...owning, tableId: route.tableId, name },
      table,
      quarantine,
      engine,
      staging: staging.storage,
      verifyFile: (file) => this.#verify(file),
      clock,
      failpoints,
      productVersion,
    }
    const { unfitValues = 'fail' } = this.#options
    return new TableRunner({ route, tools, staging, log, unfitValues })
  }

  async #verify(file: StagedFile): Promise<void> {
    if (this.#verified.has(file.path)) return
    await verifyStagedFile(this.#options.staging.storage, file)
    this.#verified.add(file.path)
  }

  #result(target: CommitNumber | undefined, committed: number, caughtUp: boolean): UpdateResult {
    const failed = this.status().tables.filter((table) => table.problem !== undefined)
    return {
      appliedCommit: target,
      committedTables: committed,
      failedTables: failed,
      caughtUp,
    }
  }

  #refusedStatus(): readonly PipelineTableStatus[] {
    return this.#refused.map(({ route, error }) => ({
      tableId: route.tableId,
      source: route.source,
      destination: formatDestinationName(route.destination),
      appliedCommit: undefined,
      version: undefined,
      rowsLoaded: 0,
      inserts: 0,
      updates: 0,
      deletes: 0,
      problem: { code: error.code, message: error.message, remedy: error.remedy },
    }))
  }
}

/** The newest staged commit that any of the tables has; -1: none. */
function appliedBefore(runners: readonly TableRunner[]): CommitNumber {
  return runners.reduce((most, runner) => Math.max(most, runner.status().appliedCommit ?? -1), -1)
}

function routeKey(route: TableRoute): string {
  return `${route.tableId}\n${formatDestinationName(route.destination)}`
}

/** Each looked up once: many tables stand at the same commit. */
function sealsOf(staging: StagingReader): StagedView['sealOf'] {
  const seals = new Map<CommitNumber, Promise<number | undefined>>()
  return async (commit) => {
    const seal = seals.get(commit) ?? staging.sealOf(commit)
    seals.set(commit, seal)
    return await seal
  }
}

/**
 * Turns the polled status of gateways and pipelines into what a person follows: one line per table,
 * rates, and the moments at which something happened.
 */
import type { TableStatus } from '../gateway/gateway-status.ts'
import type { PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import type { Problem, RunProgress } from './app.ts'
import { EtaMeter } from './eta-meter.ts'
import { RateMeter } from './rate-meter.ts'

/** `loaded`: copied and visible in the destination. */
export type TableStage =
  | 'pending'
  | 'snapshotting'
  | 'catching-up'
  | 'applying'
  | 'loaded'
  | 'failed'

export interface TableView {
  /** `schema.table` of the source. */
  readonly name: string
  readonly stage: TableStage
  readonly rows: number
  readonly estimatedRows: number | undefined
  readonly rowsPerSecond: number | undefined
  readonly etaSeconds: number | undefined
  /** Of the copy, from 0 to 1; undefined when the source gives no idea of it. Never goes back. */
  readonly share: number | undefined
  readonly bytes: number
  /** Why it is copied anew, by itself. */
  readonly anew: string | undefined
  readonly problem: Problem | undefined
}

export interface ProgressView {
  readonly phase: string
  readonly elapsedSeconds: number
  /** Of all copies, those that wait included, from 0 to 1; undefined when nothing is known. */
  readonly share: number | undefined
  readonly etaSeconds: number | undefined
  readonly bytesCopied: number
  readonly tables: readonly TableView[]
  readonly transactions: number
  readonly changes: number
  readonly changesPerSecond: number | undefined
  readonly lagBytes: bigint | undefined
  readonly secondsToLoss: number | undefined
  readonly freshness: { readonly p50Seconds: number; readonly p99Seconds: number } | undefined
}

export interface TableEvent {
  readonly table: string
  readonly stage: TableStage
  readonly rows: number
  readonly anew?: string | undefined
  readonly problem: Problem | undefined
}

export class ProgressTracker {
  readonly #startedAtMs: number
  readonly #tableRates = new Map<string, RateMeter>()
  #changeRate = new RateMeter()
  /** Names of the gateways whose changes `changeRate` counts. */
  #measured = ''
  readonly #etas = new Map<string, EtaMeter>()
  readonly #eta = new EtaMeter()
  readonly #stages = new Map<string, string>()

  constructor(startedAtMs: number) {
    this.#startedAtMs = startedAtMs
  }

  /** The view now, and the tables whose stage changed since the last call. */
  observe(
    progress: RunProgress,
    nowMs: number,
  ): { readonly view: ProgressView; readonly events: readonly TableEvent[] } {
    const applied = new Map<string, PipelineTableStatus[]>()
    for (const { status } of progress.pipelines) {
      for (const table of status.tables) {
        applied.set(table.tableId, [...(applied.get(table.tableId) ?? []), table])
      }
    }
    const tables = progress.gateways.flatMap(({ name, status }) =>
      status.tables.map((table) => ({
        key: `${name} ${table.tableId}`,
        view: this.#tableView(name, table, { applied: applied.get(table.tableId) ?? [], nowMs }),
      })),
    )
    const events = tables.flatMap(({ key, view }) => this.#stageEvent(key, view))
    return {
      view: this.#view(
        progress,
        tables.map((table) => table.view),
        nowMs,
      ),
      events,
    }
  }

  #view(progress: RunProgress, tables: readonly TableView[], nowMs: number): ProgressView {
    const sum = (pick: (status: RunProgress['gateways'][0]['status']) => number): number =>
      progress.gateways.reduce((total, { status }) => total + pick(status), 0)
    const changes = sum((status) => status.changes)
    this.#measureChanges(progress, changes, nowMs)
    const share = wholeShare(progress)
    const lags = progress.gateways.flatMap(({ status }) => status.lagBytes ?? [])
    const losses = progress.gateways.flatMap(({ status }) => status.secondsToLoss ?? [])
    const freshness = progress.pipelines
      .flatMap(({ status }) => status.freshness ?? [])
      .toSorted((a, b) => b.p99Seconds - a.p99Seconds)[0]
    return {
      phase: progress.phase,
      elapsedSeconds: (nowMs - this.#startedAtMs) / 1000,
      share,
      etaSeconds: share === undefined ? undefined : this.#eta.secondsLeft(nowMs, share),
      bytesCopied: sumOf(progress, ({ snapshotBytes }) => snapshotBytes),
      tables,
      transactions: sum((status) => status.transactions),
      changes,
      changesPerSecond: this.#changeRate.perSecond(),
      lagBytes: lags.length === 0 ? undefined : lags.reduce((total, lag) => total + lag, 0n),
      secondsToLoss: losses.length === 0 ? undefined : Math.min(...losses),
      freshness,
    }
  }

  /** What a gateway had counted before it was first seen is nothing that came since. */
  #measureChanges({ gateways }: RunProgress, changes: number, nowMs: number): void {
    const measured = gateways.map(({ name }) => name).join('\n')
    if (measured !== this.#measured) this.#changeRate = new RateMeter()
    this.#measured = measured
    if (gateways.length > 0) this.#changeRate.add(nowMs, changes)
  }

  #tableView(
    gateway: string,
    table: TableStatus,
    now: { readonly applied: readonly PipelineTableStatus[]; readonly nowMs: number },
  ): TableView {
    const key = `${gateway} ${table.tableId}`
    const meter = this.#tableRates.get(key) ?? new RateMeter()
    this.#tableRates.set(key, meter)
    meter.add(now.nowMs, table.snapshotRows)
    const rowsPerSecond = meter.perSecond()
    const share = shareOf(table)
    const eta = this.#etas.get(key) ?? new EtaMeter()
    this.#etas.set(key, eta)
    const stage = stageOf(table, now.applied)
    return {
      name: `${table.name.schema}.${table.name.table}`,
      stage,
      rows: table.snapshotRows,
      estimatedRows: table.estimatedRows,
      rowsPerSecond,
      etaSeconds: share === undefined ? undefined : eta.secondsLeft(now.nowMs, share),
      share,
      bytes: table.snapshotBytes,
      anew: table.anew,
      problem: table.problem ?? loadProblem(now.applied),
    }
  }

  #stageEvent(key: string, view: TableView): readonly TableEvent[] {
    const seen = `${view.stage} ${view.problem?.code ?? ''}`
    if (this.#stages.get(key) === seen) return []
    const isFirst = !this.#stages.has(key)
    this.#stages.set(key, seen)
    // That a table waits at the start is no news.
    if (isFirst && view.stage === 'pending' && view.problem === undefined) return []
    const { name: table, stage, rows, anew, problem } = view
    return [{ table, stage, rows, anew, problem }]
  }
}

/** By bytes of the source, or by its estimate of rows. */
function shareOf({ copied, estimatedRows, snapshotRows, state }: TableStatus): number | undefined {
  if (state === 'catching-up' || state === 'streaming') return 1
  if (copied !== undefined) return Math.min(0.99, copied.doneBytes / copied.totalBytes)
  if (estimatedRows === undefined || estimatedRows <= 0) return undefined
  // The source's statistics may be old: never claim all is done while it is not.
  return Math.min(0.99, snapshotRows / estimatedRows)
}

/** Tables weigh what the source says of their size. */
function wholeShare(progress: RunProgress): number | undefined {
  let done = 0
  let total = 0
  for (const { status } of progress.gateways) {
    for (const table of status.tables) {
      if (table.state === 'failed') continue
      const bytes = table.copied?.totalBytes ?? table.estimatedBytes
      const isWhole = table.state === 'catching-up' || table.state === 'streaming'
      if (bytes === undefined && !isWhole) return undefined
      if (bytes === undefined) continue
      total += bytes
      done += bytes * (shareOf(table) ?? 0)
    }
  }
  return total === 0 ? undefined : done / total
}

function sumOf(progress: RunProgress, pick: (table: TableStatus) => number): number {
  return progress.gateways
    .flatMap(({ status }) => status.tables)
    .reduce((total, table) => total + pick(table), 0)
}

/** That a table waits for its new copy is no problem: its gateway makes it, or says why it can not. */
function loadProblem(applied: readonly PipelineTableStatus[]): Problem | undefined {
  return applied.find((table) => table.problem !== undefined && !isWaiting(table))?.problem
}

function isWaiting({ problem }: PipelineTableStatus): boolean {
  return problem?.code === 'PIPELINE_TABLE_GAP'
}

function stageOf(table: TableStatus, applied: readonly PipelineTableStatus[]): TableStage {
  if (table.state === 'failed' || loadProblem(applied) !== undefined) return 'failed'
  if (table.state !== 'streaming') return table.state
  const isLoaded =
    applied.length > 0 && applied.every((one) => one.appliedCommit !== undefined && !isWaiting(one))
  return isLoaded ? 'loaded' : 'applying'
}

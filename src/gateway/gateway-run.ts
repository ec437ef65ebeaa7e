/** The parts of one run of a gateway, wired together; and what they tell about themselves. */
import type { Manifest } from '../staging/manifest.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { trimBuffers } from '../columnar/buffer-pool.ts'
import { sleep } from '../base/timers.ts'
import { asSluiceError, type SluiceError, troubleOf } from '../base/errors.ts'
import { FileNumbers } from './change-files.ts'
import { DeliveredTransactions } from './delivered-transactions.ts'
import { FollowedTables, nameOf } from './followed-tables.ts'
import type { FullGatewayOptions } from './gateway-options.ts'
import type {
  GatewayResult,
  GatewayRunOptions,
  GatewayStatus,
  TableStatus,
} from './gateway-status.ts'
import { HealthWatch } from './health-watch.ts'
import { TablePlan } from './plan-tables.ts'
import { Progress } from './progress.ts'
import { recover } from './recover.ts'
import { tableNotFound } from './select-tables.ts'
import { Snapshots } from './snapshots.ts'
import { StreamGate } from './stream-gate.ts'
import type { TransactionBufferOptions } from './transaction-buffer.ts'

export class GatewayRun {
  readonly tables: FollowedTables
  readonly progress: Progress
  readonly snapshots: Snapshots
  readonly plan: TablePlan
  readonly bufferOptions: Omit<TransactionBufferOptions, 'progress' | 'onFailure'>
  readonly #options: FullGatewayOptions
  readonly #stop = new AbortController()
  readonly #health: HealthWatch
  #failure: SluiceError | undefined
  /** What the last session ended with, while no other has begun. */
  #trouble: GatewayStatus['stall']
  #isEnded = false
  #beside: Promise<unknown> | undefined
  #stagedCommits = 0
  #stagedCommit: number | undefined
  #stagedBytes = 0
  #transactions = 0
  #newestCommitAtMs: number | undefined

  /** `told`: see FollowedTablesOptions. */
  constructor(options: FullGatewayOptions, asked: GatewayRunOptions, told: Map<string, string>) {
    this.#options = options
    const { source, staging, settings, log, clock, timers } = options
    const abort = (): void => this.#stop.abort()
    if (asked.signal.aborted) abort()
    asked.signal.addEventListener('abort', abort, { once: true })
    const recovered = recover(staging.recovered)
    this.#noteNewest(staging.recovered.newest, staging.recovered.newestCommitTimeUs)
    const gate = new StreamGate()
    const delivered = new DeliveredTransactions()
    const isBounded = asked.mode !== 'continuous'
    const maxFailures = isBounded ? settings.onceFailures : Infinity
    const tables = new FollowedTables({ log, told, announce: (gap) => this.progress.announce(gap) })
    this.tables = tables
    this.progress = new Progress({
      ...options,
      tables,
      backoff: settings.backoff,
      tries: maxFailures,
      signal: this.signal,
      lastSequence: recovered.lastSequence,
      onStaged: (manifest) => this.#staged(manifest),
      onFailure: (error) => this.#fail(error),
    })
    const { progress, signal } = this
    this.plan = new TablePlan({
      source,
      staging,
      selection: options.tables,
      tables,
      progress,
      recovered,
      clock,
      log,
    })
    this.snapshots = new Snapshots({
      ...options,
      tables,
      progress,
      gate,
      delivered,
      maxFailures,
      signal,
      describe: (table) => this.plan.describe(table),
    })
    this.bufferOptions = {
      files: { staging, numbers: new FileNumbers() },
      tables,
      gate,
      delivered,
      settings,
      clock,
      timers,
    }
    const intervalMs = settings.healthIntervalMs
    this.#health = new HealthWatch({ source, clock, timers, log, intervalMs })
  }

  /** Aborted when the run was asked to stop, or when nothing can be staged any more. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get isActive(): boolean {
    return !this.#isEnded
  }

  /** Why nothing can be staged any more. */
  get failure(): SluiceError | undefined {
    return this.#failure
  }

  /** The work rests because of it; undefined: it goes on. */
  rests(because: SluiceError | undefined): void {
    this.#trouble = because && troubleOf(because)
  }

  /** Of this run. */
  get stagedCommits(): number {
    return this.#stagedCommits
  }

  /** What goes on over all sessions; begins once the source is prepared. */
  startBeside(options: { readonly withCopies: boolean }): void {
    this.#beside ??= Promise.all([
      this.#health.run(this.signal),
      this.#trimBuffers(),
      options.withCopies ? this.snapshots.run() : undefined,
    ])
  }

  /** A source that has fallen silent leaves no memory in use. */
  async #trimBuffers(): Promise<void> {
    const { timers, settings } = this.#options
    while (!this.signal.aborted) {
      await sleep(timers, settings.healthIntervalMs, this.signal)
      trimBuffers()
    }
  }

  refresh(tables: readonly string[] | 'all'): void {
    this.plan.refresh(tables)
    if (this.progress.state !== undefined) this.plan.applyRefresh()
  }

  refusal(tableId: string): TableStatus['problem'] {
    const table = this.tables.get(tableId)
    if (table === undefined) return this.plan.notFound(tableId)
    if (this.plan.isAsked(tableId) || table.state !== 'failed') return undefined
    return table.problem
  }

  /** Stops what goes on beside the stream and waits until all of it is settled. */
  async end(): Promise<void> {
    this.#isEnded = true
    this.#stop.abort()
    await this.#beside
    await this.progress.settled()
  }

  /** Everything is staged: the source is to know it, and to be seen as it is then. */
  async settle(): Promise<void> {
    const { source, log } = this.#options
    try {
      await source.settle?.()
    } catch (error) {
      // It learns of it in the next run.
      const { code, message } = asSluiceError(error)
      log.debug(`the source was not told what is staged: ${message}`, { code })
    }
    await this.#health.look()
  }

  result(): GatewayResult {
    return {
      stagedCommit: this.#stagedCommit,
      failedTables: this.#tableStatuses().filter((table) => this.#isFailure(table)),
    }
  }

  status(): GatewayStatus {
    const { sample, secondsToLoss } = this.#health
    const tables = this.#tableStatuses()
    return {
      tables,
      transactions: this.#transactions,
      changes: tables.reduce((sum, table) => sum + table.changes, 0),
      stagedBytes: this.#stagedBytes,
      stagedCommit: this.#stagedCommit,
      newestCommitAtMs: this.#newestCommitAtMs,
      lagBytes: sample?.lagBytes,
      retainedBytes: sample?.retainedBytes,
      budgetBytes: sample?.budgetBytes,
      secondsToLoss,
      roundTripMs: sample?.roundTripMs,
      stall: this.#trouble ?? sample?.stall,
      leftSlots: this.plan.leftSlots,
    }
  }

  /** A table that is gone is one only when it was asked for by name. */
  #isFailure({ state, name, problem }: TableStatus): boolean {
    if (state !== 'failed') return false
    if (problem?.code !== 'GATEWAY_TABLE_GONE') return true
    return this.#options.tables.tables.some((named) => nameOf({ name: named }) === nameOf({ name }))
  }

  #tableStatuses(): readonly TableStatus[] {
    const missing = this.plan.missing.map((table): TableStatus => {
      return {
        tableId: nameOf({ name: table }),
        name: table,
        state: 'failed',
        snapshotRows: 0,
        estimatedRows: undefined,
        snapshotBytes: 0,
        changes: 0,
        problem: troubleOf(tableNotFound(table)),
      }
    })
    return [...this.tables.statuses(), ...missing]
  }

  #staged(manifest: Manifest): void {
    this.#stagedCommits++
    this.#noteNewest(manifest.commit, manifest.max_commit_time_us)
    const { first_sequence: first, last_sequence: last } = manifest
    if (first !== undefined && last !== undefined) {
      this.#transactions += Number(BigInt(last) - BigInt(first)) + 1
    }
    for (const entry of manifest.entries) {
      if (entry.kind === 'changes') this.#stagedBytes += entry.file.bytes
      if (entry.kind === 'snapshot_chunk') {
        for (const file of entry.files) this.#stagedBytes += file.bytes
      }
    }
    this.#options.onStaged()
  }

  #noteNewest(commit: number | undefined, time: string | undefined): void {
    this.#stagedCommit = commit
    if (time !== undefined) this.#newestCommitAtMs = Number(BigInt(time) / 1000n)
  }

  #fail(error: unknown): void {
    this.#failure ??= asSluiceError(error)
    this.#stop.abort()
  }
}

export function statusBeforeRun({ recovered }: Pick<StagingLog, 'recovered'>): GatewayStatus {
  return {
    tables: [],
    transactions: 0,
    changes: 0,
    stagedBytes: 0,
    stagedCommit: recovered.newest,
    newestCommitAtMs: undefined,
    lagBytes: undefined,
    retainedBytes: undefined,
    budgetBytes: undefined,
    secondsToLoss: undefined,
  }
}

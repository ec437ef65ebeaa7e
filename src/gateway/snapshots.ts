/**
 * Copies tables beside the stream: a few workers, each reading one chunk at a time. A worker without
 * a chunk begins the next pending table. A copy that is cut off goes on under a newer point of the
 * source, or, where it can not, begins anew under the next snapshot id; a copy also goes on under a
 * newer point when its snapshot has held the source back for long enough. One bad table never stops
 * the others.
 */
import { backoffMs } from '../base/backoff.ts'
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError, SluiceError, troubleOf } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import { sleep, type Timers } from '../base/timers.ts'
import type { Log } from '../observe/log.ts'
import type { SnapshotChunk, Source } from '../source/source.ts'
import type { SourceTable } from '../source/table-schema.ts'
import type { StagedFile } from '../staging/manifest.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { beginCopy, closeQuietly } from './begin-copy.ts'
import { ChunkFiles } from './chunk-files.ts'
import { CopyThrottle } from './copy-throttle.ts'
import type { DeliveredTransactions } from './delivered-transactions.ts'
import type { FollowedTable } from './followed-table.ts'
import { nameOf, type FollowedTables } from './followed-tables.ts'
import type { Progress } from './progress.ts'
import type { GatewaySettings } from './settings.ts'
import { resumeCopy } from './resume-copy.ts'
import type { StreamGate } from './stream-gate.ts'
import type { TableCopy } from './table-copy.ts'

export interface SnapshotsOptions {
  readonly source: Source
  readonly staging: StagingLog
  readonly tables: FollowedTables
  readonly progress: Progress
  readonly gate: StreamGate
  readonly delivered: DeliveredTransactions
  readonly settings: GatewaySettings
  readonly clock: SteadyClock
  readonly timers: Timers
  readonly random: () => number
  readonly failpoints: Failpoints
  readonly log: Log
  /** The table as it is now; undefined when it is gone. */
  readonly describe: (table: FollowedTable) => Promise<SourceTable | undefined>
  /** Copies of one table that may fail in a row before the table is given up. */
  readonly maxFailures: number
  readonly signal: AbortSignal
}

interface ChunkTurn {
  /** The worker's chunk before: this one is staged when that is over, so that they stay in order. */
  readonly before: Promise<void> | undefined
  /** Called when the chunk's rows need neither the source nor much memory any more. */
  readonly onRead: () => void
}

/** Tries of a table that is locked count as one. */
const lockedTries = 6

/** Longest pause between two of them, in ms. */
const lockedPauseMs = 5_000

/** How long a table rests whose copy the source does not allow yet. */
const notYetMs = 100

export class Snapshots {
  readonly #options: SnapshotsOptions
  readonly #copies = new Map<FollowedTable, TableCopy>()
  readonly #throttle: CopyThrottle
  #beginning: FollowedTable | undefined
  #wake: (() => void)[] = []

  constructor(options: SnapshotsOptions) {
    this.#options = options
    this.#throttle = new CopyThrottle(options.settings.snapshotBytesPerSecond, options.clock)
  }

  /** Works until the signal; never rejects for the sake of one table. */
  async run(): Promise<void> {
    const { settings, tables, signal } = this.#options
    const wake = (): void => this.#wakeAll()
    const forget = tables.onChange(wake)
    signal.addEventListener('abort', wake)
    const workers = Array.from({ length: settings.snapshotWorkers }, () => this.#work())
    await Promise.all(workers)
    forget()
    signal.removeEventListener('abort', wake)
    await Promise.all([...this.#copies.values()].map((copy) => this.#drop(copy)))
  }

  /** Resolves when no table waits for a copy or is being copied, or at the signal. */
  async idle(signal: AbortSignal): Promise<void> {
    const wake = (): void => this.#wakeAll()
    signal.addEventListener('abort', wake)
    while (!signal.aborted && this.isBusy) {
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
    signal.removeEventListener('abort', wake)
  }

  get isBusy(): boolean {
    const { tables } = this.#options
    return tables.all().some(({ state }) => state === 'pending' || state === 'snapshotting')
  }

  /** Some table is not copied yet, or its copy waits for the stream to pass its point. */
  get isAwaited(): boolean {
    const { tables } = this.#options
    return this.isBusy || tables.all().some(({ state }) => state === 'catching-up')
  }

  #wakeAll(): void {
    for (const resolve of this.#wake.splice(0)) resolve()
  }

  /**
   * While the last rows of a chunk are written and made durable the next one is read already, or the
   * source would wait at the end of every chunk. One chunk at most is behind.
   */
  async #work(): Promise<void> {
    const { signal, timers, clock } = this.#options
    let behind: Promise<void> | undefined
    while (!signal.aborted) {
      const old = [...this.#copies.values()].find(
        (candidate) => this.#isTooOld(candidate) && !candidate.isReading,
      )
      if (old !== undefined) {
        await this.#renew(old)
        continue
      }
      const copy = this.#nextWithWork()
      const chunk = copy?.takeChunk()
      const pending = this.#beginning === undefined ? this.#nextPending() : undefined
      if (copy !== undefined && chunk !== undefined) {
        const before = behind
        await new Promise<void>((resolve, reject) => {
          behind = this.#stageChunk(copy, chunk, { before, onRead: resolve })
          behind.then(resolve, reject)
        })
        await before
      } else if (pending !== undefined && pending.retryAtMs <= clock.elapsedMs()) {
        await this.#begin(pending)
      } else if (behind !== undefined) {
        await behind
        behind = undefined
      } else {
        await this.#rest(timers, pending)
      }
    }
    await behind
  }

  #nextWithWork(): TableCopy | undefined {
    return [...this.#copies.values()].find((copy) => copy.hasWork && !this.#isTooOld(copy))
  }

  #isTooOld(copy: TableCopy): boolean {
    const { clock, settings } = this.#options
    return copy.isTooOld(clock.elapsedMs(), settings.snapshotMaxAgeMs)
  }

  /** Until something changes, or until it is time to try `pending` again. */
  async #rest(timers: Timers, pending: FollowedTable | undefined): Promise<void> {
    const delayMs = (pending?.retryAtMs ?? Infinity) - this.#options.clock.elapsedMs()
    const woken = new Promise<void>((resolve) => this.#wake.push(resolve))
    if (!Number.isFinite(delayMs)) return woken
    const forget = timers.after(Math.max(1, delayMs), () => this.#wakeAll())
    await woken
    forget()
  }

  #nextPending(): FollowedTable | undefined {
    const pending = this.#options.tables
      .all()
      .filter(
        ({ state, ledger }) =>
          state === 'pending' || (state === 'snapshotting' && ledger !== undefined),
      )
      .filter((table) => !this.#copies.has(table))
    return pending.toSorted((a, b) => a.retryAtMs - b.retryAtMs)[0]
  }

  async #begin(table: FollowedTable): Promise<void> {
    this.#beginning = table
    try {
      if (!(await this.#options.source.canBeginCopy(table.table))) {
        table.retryAtMs = this.#options.clock.elapsedMs() + notYetMs
        return
      }
      const copy = await this.#beginOrResume(table)
      if (copy === undefined) return
      this.#copies.set(table, copy)
      table.abortCopy = () => void this.#drop(copy)
      this.#options.failpoints.hit('gateway.snapshot-started')
      if (copy.isStaged) await this.#finish(copy)
    } catch (error) {
      await this.#lose(table, error)
    } finally {
      this.#beginning = undefined
      this.#wakeAll()
    }
  }

  /** undefined when there is nothing to be read just now. */
  async #beginOrResume(table: FollowedTable): Promise<TableCopy | undefined> {
    const { ledger } = table
    if (table.state !== 'snapshotting' || ledger === undefined) {
      return await beginCopy(table, this.#options)
    }
    const outcome = await resumeCopy(table, ledger, this.#options)
    if (outcome.kind === 'resumed') return outcome.copy
    if (outcome.kind === 'refused' && table.ledger === ledger) {
      // On record, so that nobody takes the copy up again after the table was left alone.
      const reason = `its copy can not be resumed: ${outcome.reason}`
      this.#options.tables.gap(table, reason, outcome.table)
    }
    return undefined
  }

  async #stageChunk(copy: TableCopy, chunk: SnapshotChunk, how: ChunkTurn): Promise<void> {
    const { clock, progress, settings } = this.#options
    const { ledger } = copy
    try {
      const files = await this.#readInTurn(copy, chunk, how)
      if (!copy.isCurrent) throw new SluiceError('ABORTED', 'the copy was stopped')
      copy.stage(chunk, files, clock.elapsedMs())
      this.#options.failpoints.hit('gateway.snapshot-chunk-staged')
      if (copy.isStaged) await this.#finish(copy)
      else if (ledger.waitedMs(clock.elapsedMs()) >= settings.chunkIntervalMs) {
        await progress.publish({ entries: ledger.takeEntries() })
      }
    } catch (error) {
      if (this.#copies.get(copy.table) === copy) await this.#lose(copy.table, error)
    }
  }

  async #readInTurn(
    copy: TableCopy,
    chunk: SnapshotChunk,
    { before, onRead }: ChunkTurn,
  ): Promise<readonly StagedFile[]> {
    try {
      return await this.#readChunk(copy, chunk, onRead)
    } finally {
      await before
      copy.endChunk()
    }
  }

  /** Lets the snapshot go that nobody reads under just now; the copy then is one to be resumed. */
  async #renew(copy: TableCopy): Promise<void> {
    const table = nameOf(copy.table.table)
    this.#options.log.info('snapshot is old, the copy goes on under a newer one', { table })
    await this.#drop(copy)
  }

  /** Tries a few times inside the same snapshot; other chunks need not be read again. */
  async #readChunk(
    copy: TableCopy,
    chunk: SnapshotChunk,
    onRead: () => void,
  ): Promise<readonly StagedFile[]> {
    const { settings, timers, random, log } = this.#options
    const signal = AbortSignal.any([copy.signal, this.#options.signal])
    for (let failures = 1; ; failures++) {
      try {
        return await this.#tryChunk(copy, chunk, { signal, onRead })
      } catch (error) {
        const { code, message, retry } = asSluiceError(error)
        if (retry !== 'backoff' || failures >= settings.chunkTries || signal.aborted) throw error
        const fields = { table: nameOf(copy.table.table), chunk: chunk.id, code, failures }
        log.warn(`chunk failed, trying again: ${message}`, fields)
        await sleep(timers, backoffMs(failures, settings.backoff, random), signal)
      }
    }
  }

  async #tryChunk(
    copy: TableCopy,
    chunk: SnapshotChunk,
    { signal, onRead }: { readonly signal: AbortSignal; readonly onRead: () => void },
  ): Promise<readonly StagedFile[]> {
    const { staging, settings } = this.#options
    const { table } = copy
    const read = { rows: 0, bytes: 0 }
    const files = new ChunkFiles({
      staging,
      schema: table.table.schema,
      columns: copy.freeColumns.pop(),
      bufferBytes: settings.snapshotBufferBytes,
      fileBytes: settings.fileBytes,
      nextPath: () => copy.pathFor(chunk, staging.epoch),
      throttle: (bytes) => {
        const pauseMs = this.#throttle.take(bytes)
        return pauseMs > 0 ? sleep(this.#options.timers, pauseMs, signal) : undefined
      },
      onProgress(rows, bytes) {
        read.rows += rows
        read.bytes += bytes
        table.snapshotRows += rows
        table.snapshotBytes += bytes
        table.copyProgress.read(chunk, bytes)
      },
    })
    try {
      await copy.snapshot.readChunk(chunk, files, signal)
      // A read that was cut off may end without an error; it must not count as whole.
      if (signal.aborted) throw new SluiceError('ABORTED', 'the copy was stopped')
      const staged = await files.finish(onRead)
      copy.freeColumns.push(files.columns)
      return staged
    } catch (error) {
      table.snapshotRows -= read.rows
      table.snapshotBytes -= read.bytes
      table.copyProgress.read(chunk, -read.bytes)
      await files.abort()
      throw error
    }
  }

  async #finish(copy: TableCopy): Promise<void> {
    const { failpoints, progress } = this.#options
    if (!copy.isCurrent) throw new SluiceError('ABORTED', 'the copy was stopped')
    failpoints.hit('gateway.snapshot-chunks-staged')
    await progress.publish({ entries: copy.ledger.takeEntries(), staged: copy.table })
    await this.#drop(copy)
  }

  async #drop(copy: TableCopy): Promise<void> {
    this.#copies.delete(copy.table)
    if (copy.table.abortCopy !== undefined) copy.table.abortCopy = undefined
    copy.abort()
    await closeQuietly(copy.snapshot, this.#options.log)
    this.#wakeAll()
  }

  #lockPauseMs({ copyFailures }: FollowedTable): number {
    const { settings, random } = this.#options
    const { firstMs, capMs } = settings.backoff
    return backoffMs(copyFailures, { firstMs, capMs: Math.min(capMs, lockedPauseMs) }, random)
  }

  /** The copy of the table, begun or not, came to nothing. */
  async #lose(table: FollowedTable, thrown: unknown): Promise<void> {
    const { tables, settings, random, clock, log, maxFailures, signal } = this.#options
    const copy = this.#copies.get(table)
    const wasStopped = copy !== undefined && !copy.isCurrent
    if (copy !== undefined) await this.#drop(copy)
    // A gap or a stop ended it: the table's state already says what follows.
    if (wasStopped || signal.aborted) return
    if (table.state !== 'pending' && table.state !== 'snapshotting') return
    const error = asSluiceError(thrown)
    if (table.state === 'snapshotting' && table.ledger?.canResume !== true) {
      table.meet('copy-lost')
      table.forgetCopy()
    }
    table.mustDescribe = true
    table.copyFailures++
    table.retryAtMs = clock.elapsedMs() + backoffMs(table.copyFailures, settings.backoff, random)
    const { code, message, retry } = error
    // Its lock is waited for in many short turns, because other tables wait for their turn too.
    const isLocked = code === 'SOURCE_TABLE_LOCKED'
    if (isLocked) table.retryAtMs = clock.elapsedMs() + this.#lockPauseMs(table)
    const triesLeft = (isLocked ? maxFailures * lockedTries : maxFailures) - table.copyFailures
    if (retry !== 'backoff' || triesLeft <= 0) {
      const pauseMs = backoffMs(++table.timesGivenUp, settings.givenUpBackoff, () => 1)
      table.retryAtMs = retry === 'never' ? Infinity : clock.elapsedMs() + pauseMs
      return tables.refuse(table, error)
    }
    const fields = { table: nameOf(table.table), code, failures: table.copyFailures }
    const isNews = table.copyNews.isNews(`${code} ${message}`, clock.elapsedMs())
    log[isNews ? 'warn' : 'debug'](`copy failed, trying again: ${message}`, fields)
    table.problem = troubleOf(error)
    tables.changed()
  }
}

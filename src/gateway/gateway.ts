/**
 * The ingestion gateway: source → staging, continuously or on demand, and never applied from here.
 * A run is a row of sessions; each finds and prepares the tables and then reads one stream, with the
 * copies of tables beside it. Whatever ends a session, the next begins at what is durable.
 */
import { systemClock } from '../base/clock.ts'
import { asSluiceError } from '../base/errors.ts'
import { noFailpoints } from '../base/failpoint.ts'
import { sleep, systemTimers } from '../base/timers.ts'
import type { Position, SourceTable } from '../source/source.ts'
import type { FullGatewayOptions, GatewayOptions, RefreshableGateway } from './gateway-options.ts'
import { GatewayRun, statusBeforeRun } from './gateway-run.ts'
import { nextGatewayState, type GatewayEvent, type GatewayState } from './gateway-state.ts'
import type {
  GatewayResult,
  GatewayRunOptions,
  GatewayStatus,
  TableStatus,
} from './gateway-status.ts'
import { defaultGatewaySettings } from './settings.ts'
import { runStream } from './stream-session.ts'
import { supervise } from './supervisor.ts'

/** One gateway runs once at a time; a run that ended may be followed by another. */
export function createGateway(options: GatewayOptions): RefreshableGateway {
  return new IngestionGateway({
    clock: systemClock,
    timers: systemTimers,
    random: Math.random,
    failpoints: noFailpoints,
    onStaged: () => undefined,
    ...options,
    settings: { ...defaultGatewaySettings, ...options.settings },
  })
}

class IngestionGateway implements RefreshableGateway {
  readonly #options: FullGatewayOptions
  #run: GatewayRun | undefined
  #state: GatewayState = 'idle'
  #refresh: string[] | 'all' = []
  readonly #told = new Map<string, string>()

  constructor(options: FullGatewayOptions) {
    this.#options = options
  }

  async run(asked: GatewayRunOptions): Promise<GatewayResult> {
    const { settings, timers, random } = this.#options
    const run = new GatewayRun(this.#options, asked, this.#told)
    this.#run = run
    run.plan.refresh(this.#refresh)
    this.#refresh = []
    try {
      await supervise(() => this.#session(run, asked), {
        progressed: () => run.stagedCommits,
        backoff: settings.backoff,
        maxFailures: asked.mode === 'continuous' ? Infinity : settings.onceFailures,
        timers,
        random,
        signal: run.signal,
        onBackoff: (error, delayMs) => {
          const { code, message } = error
          this.#options.log.warn(`trying again: ${message}`, { code, delayMs })
          run.rests(error)
          this.#meet('error')
        },
      })
      this.#meet('stop')
      await run.end()
      if (run.failure !== undefined) throw run.failure
      // A stream without an end told the source all along; and whoever stops it does not wait.
      if (asked.mode === 'once' && !asked.signal.aborted) await run.settle()
      this.#meet('done')
      return run.result()
    } catch (error) {
      this.#meet('give-up')
      await run.end()
      throw run.failure ?? error
    }
  }

  status(): GatewayStatus {
    return this.#run?.status() ?? statusBeforeRun(this.#options.staging)
  }

  refresh(tables: readonly string[] | 'all'): void {
    if (this.#run?.isActive === true) return this.#run.refresh(tables)
    if (tables === 'all' || this.#refresh === 'all') this.#refresh = 'all'
    else this.#refresh.push(...tables)
  }

  refusal(tableId: string): TableStatus['problem'] {
    return this.#run?.refusal(tableId)
  }

  async #session(run: GatewayRun, asked: GatewayRunOptions): Promise<'again' | 'done'> {
    this.#meet('start')
    const tables = await run.plan.prepare()
    run.rests(undefined)
    this.#meet('ready')
    // A copy begun now would show more than the position asked for.
    run.startBeside({ withCopies: asked.mode !== 'until' })
    switch (asked.mode) {
      case 'continuous':
        await this.#stream(run, tables, { beside: (signal) => this.#watchTables(run, signal) })
        return run.signal.aborted ? 'done' : 'again'
      case 'once':
        if (run.snapshots.isBusy) {
          await this.#stream(run, tables, { beside: (signal) => run.snapshots.idle(signal) })
        }
        if (run.signal.aborted) return 'done'
        await this.#stream(run, tables, { until: await this.#options.source.currentPosition() })
        // A table that was torn on the way is copied anew, and its copy's point passed, before the
        // run is over.
        return run.snapshots.isAwaited && !run.signal.aborted ? 'again' : 'done'
      case 'until':
        await this.#stream(run, tables, { until: asked.until as Position, barrier: true })
        return 'done'
      default:
        return asked satisfies never
    }
  }

  async #stream(
    run: GatewayRun,
    tables: readonly SourceTable[],
    how: {
      until?: Position
      barrier?: boolean
      beside?: (signal: AbortSignal) => Promise<void>
    },
  ): Promise<void> {
    const { source } = this.#options
    const { progress, bufferOptions: buffer, signal } = run
    while ((await runStream({ source, progress, tables, buffer, signal, ...how })) === 'renew') {
      this.#options.log.debug('the stream begins anew')
    }
  }

  /** Resolves when the set of tables has changed, so that the stream has to begin anew. */
  async #watchTables(run: GatewayRun, signal: AbortSignal): Promise<void> {
    const { timers, settings, log } = this.#options
    for (;;) {
      await sleep(timers, settings.discoverIntervalMs, signal)
      if (signal.aborted) return
      try {
        if (await run.plan.isOutdated()) return
      } catch (error) {
        const { code, message, retry } = asSluiceError(error)
        if (retry !== 'backoff') throw error
        log.debug(`looking for tables failed: ${message}`, { code })
      }
    }
  }

  #meet(event: GatewayEvent): void {
    this.#state = nextGatewayState(this.#state, event)
  }
}

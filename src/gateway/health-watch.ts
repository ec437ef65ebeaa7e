/** Asks the source from time to time how much of its log it keeps for us, and warns in time. */
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError } from '../base/errors.ts'
import { sleep, type Timers } from '../base/timers.ts'
import type { Log } from '../observe/log.ts'
import type { Source } from '../source/source.ts'
import { lossWarningSeconds, secondsToLoss, type HealthSample } from './lag.ts'

export interface HealthWatchOptions {
  readonly source: Pick<Source, 'health'>
  readonly clock: SteadyClock
  readonly timers: Timers
  readonly log: Log
  readonly intervalMs: number
}

export class HealthWatch {
  readonly #options: HealthWatchOptions
  #sample: HealthSample | undefined
  #secondsToLoss: number | undefined

  constructor(options: HealthWatchOptions) {
    this.#options = options
  }

  get sample(): HealthSample | undefined {
    return this.#sample
  }

  get secondsToLoss(): number | undefined {
    return this.#secondsToLoss
  }

  /** Until the signal; a source that does not answer is somebody else's concern. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look()
      await sleep(this.#options.timers, this.#options.intervalMs, signal)
    }
  }

  async look(): Promise<void> {
    const { source, clock, log } = this.#options
    try {
      const sample = { ...(await source.health()), atMs: clock.elapsedMs() }
      const seconds = secondsToLoss(this.#sample, sample)
      const { stall } = sample
      if (stall !== undefined && stall.message !== this.#sample?.stall?.message) {
        log.warn(stall.message, { code: stall.code, remedy: stall.remedy })
      }
      this.#sample = sample
      this.#secondsToLoss = seconds
      if (seconds !== undefined && seconds < lossWarningSeconds) {
        const { retainedBytes, budgetBytes, lagBytes } = sample
        const fields = { secondsToLoss: Math.floor(seconds), retainedBytes, budgetBytes, lagBytes }
        log.warn('the source will soon drop log that is not staged yet', fields)
      }
    } catch (error) {
      log.debug(`health of the source is unknown: ${asSluiceError(error).message}`)
    }
  }
}

/** Starts again what failed, by the error's retry policy; pauses grow until there is progress. */
import { backoffMs, type BackoffSettings } from '../base/backoff.ts'
import { asSluiceError, type SluiceError } from '../base/errors.ts'
import { sleep, type Timers } from '../base/timers.ts'

export interface SuperviseOptions {
  /** A number that changes whenever something was achieved. */
  readonly progressed: () => number
  readonly backoff: BackoffSettings
  /** Failures in a row, without progress between, after which the last error is thrown. */
  readonly maxFailures: number
  readonly timers: Timers
  readonly random: () => number
  readonly signal: AbortSignal
  /** Called before each pause. */
  readonly onBackoff: (error: SluiceError, delayMs: number) => void
}

/**
 * Calls `attempt` until it returns `done`; `again` is a wish, not a failure. Errors that wait for a
 * person are thrown at once. Once the signal is aborted, failures end the work quietly: what was
 * not staged is read again at the next start.
 */
export async function supervise(
  attempt: () => Promise<'again' | 'done'>,
  options: SuperviseOptions,
): Promise<void> {
  let failures = 0
  let achieved = options.progressed()
  while (!options.signal.aborted) {
    try {
      if ((await attempt()) === 'done') return
      failures = 0
    } catch (thrown) {
      const error = asSluiceError(thrown)
      if (options.signal.aborted && (error.retry === 'backoff' || error.code === 'ABORTED')) return
      if (options.progressed() !== achieved) failures = 0
      achieved = options.progressed()
      failures++
      if (error.retry !== 'backoff' || failures >= options.maxFailures) throw error
      const delayMs = backoffMs(failures, options.backoff, options.random)
      options.onBackoff(error, delayMs)
      await sleep(options.timers, delayMs, options.signal)
    }
  }
}

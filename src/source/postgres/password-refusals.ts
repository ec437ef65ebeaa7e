/**
 * Refusals of a password that is read anew at every connect: whoever changed it at the server may
 * write the new one down a moment later, so that the next connect may have it.
 */
import type { SteadyClock } from '../../base/clock.ts'

/** Volumes of secrets are brought up to date within a minute or two. */
const patienceMs = 5 * 60_000

export class PasswordRefusals {
  readonly #clock: Pick<SteadyClock, 'elapsedMs'>
  readonly #isReadAnew: boolean
  #firstMs = 0
  #lastMs = Number.NEGATIVE_INFINITY

  /** `isReadAnew`: another one may come without a restart. */
  constructor(isReadAnew: boolean, clock: Pick<SteadyClock, 'elapsedMs'>) {
    this.#isReadAnew = isReadAnew
    this.#clock = clock
  }

  /** The server refused the password; true when it is worth another connect, after a pause. */
  refused(): boolean {
    if (!this.#isReadAnew) return false
    const nowMs = this.#clock.elapsedMs()
    // Nobody tried for long: this is another change of the password than the one before.
    if (nowMs - this.#lastMs > patienceMs) this.#firstMs = nowMs
    this.#lastMs = nowMs
    return nowMs - this.#firstMs <= patienceMs
  }

  accepted(): void {
    this.#lastMs = Number.NEGATIVE_INFINITY
  }
}

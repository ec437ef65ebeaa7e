/** Keeps all copies of a gateway together below a rate: how long to wait after so many bytes. */
import type { SteadyClock } from '../base/clock.ts'

/** What was not used of the rate is kept for so long. */
const burstMs = 100

export class CopyThrottle {
  readonly #bytesPerSecond: number
  readonly #clock: SteadyClock
  /** When what was read so far is within the rate. */
  #paidAtMs = -Infinity

  /** 0: no limit. */
  constructor(bytesPerSecond: number, clock: SteadyClock) {
    this.#bytesPerSecond = bytesPerSecond
    this.#clock = clock
  }

  /** Counts `bytes` that were read; the pause in ms before more are, usually 0. */
  take(bytes: number): number {
    if (this.#bytesPerSecond === 0 || bytes <= 0) return 0
    const nowMs = this.#clock.elapsedMs()
    const from = Math.max(this.#paidAtMs, nowMs - burstMs)
    this.#paidAtMs = from + (bytes * 1000) / this.#bytesPerSecond
    return Math.max(0, this.#paidAtMs - nowMs)
  }
}

/**
 * How long to wait before the next read of a replication stream. A WAL sender flushes every row on
 * its own; reading each at once costs both sides a wake-up per row. So while data keeps coming,
 * reading pauses for a few milliseconds and then takes everything that gathered.
 */

/** A read of at least so many bytes was worth its wake-up. */
const largeReadBytes = 192 * 1024
/** A read that had to be waited for longer than this met no backlog. */
const idleGapMs = 2
const shortestPauseMs = 2
const longestPauseMs = 5
/** Below this a pause gathered too little: make the next one longer. */
const smallReadBytes = 32 * 1024

export class ReadPacer {
  #readableSinceMs = Number.NEGATIVE_INFINITY
  #pauseMs = 0

  /**
   * `bytes` came with the read that ended at `nowMs` (any monotonic clock). Returns milliseconds,
   * 0: read on at once. Call `resumed` when the pause is over.
   */
  pauseAfter(bytes: number, nowMs: number): number {
    const hasBacklog = nowMs - this.#readableSinceMs <= idleGapMs
    if (!hasBacklog || bytes >= largeReadBytes) {
      this.#pauseMs = 0
      this.#readableSinceMs = nowMs
    } else if (this.#pauseMs === 0) {
      this.#pauseMs = shortestPauseMs
    } else if (bytes < smallReadBytes) {
      this.#pauseMs = Math.min(longestPauseMs, this.#pauseMs + 1)
    }
    return this.#pauseMs
  }

  /** Reading goes on from `nowMs`. */
  resumed(nowMs: number): void {
    this.#readableSinceMs = nowMs
  }
}

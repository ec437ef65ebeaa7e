/** Waiting as an argument: production passes `systemTimers`, tests timers that need no time. */

export interface Timers {
  /** Calls `run` once after `delayMs`; the returned function forgets it. */
  after(delayMs: number, run: () => void): () => void
}

export const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}

/** Resolves after `delayMs`, or at once when `signal` is or gets aborted. */
export function sleep(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const finish = (): void => {
      forget()
      signal.removeEventListener('abort', finish)
      resolve()
    }
    const forget = timers.after(delayMs, finish)
    signal.addEventListener('abort', finish, { once: true })
  })
}

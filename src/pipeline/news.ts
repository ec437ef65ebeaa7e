/** Wakes a waiting pipeline when something was staged in this process, or after a while. */

export interface News {
  /** Something was staged. Never blocks; remembered until the next `wait`. */
  notify(): void
  /** Resolves at the next (or a remembered) `notify`, after `timeoutMs`, or when `signal` aborts. */
  wait(timeoutMs: number, signal: AbortSignal): Promise<void>
}

export function createNews(): News {
  let isPending = false
  let wake: (() => void) | undefined
  return {
    notify() {
      isPending = true
      wake?.()
    },
    async wait(timeoutMs, signal) {
      if (!isPending && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const done = (): void => {
            clearTimeout(timer)
            signal.removeEventListener('abort', done)
            wake = undefined
            resolve()
          }
          const timer = setTimeout(done, timeoutMs)
          signal.addEventListener('abort', done)
          wake = done
        })
      }
      isPending = false
    },
  }
}

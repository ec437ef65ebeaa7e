/** What is said again and again: the first time at once, the same later only after growing pauses. */

const firstPauseMs = 60_000
const capMs = 3_600_000

/** Different texts that are remembered; more than these are told as if they were new. */
const mostTexts = 20

export class RepeatedNews {
  readonly #told = new Map<string, { readonly atMs: number; readonly pauseMs: number }>()

  /** Whether `text` is to be told now; then it counts as told. */
  isNews(text: string, nowMs: number): boolean {
    const before = this.#told.get(text)
    if (before !== undefined && nowMs < before.atMs + before.pauseMs) return false
    if (this.#told.size >= mostTexts) this.#told.clear()
    const pauseMs = before === undefined ? firstPauseMs : Math.min(capMs, before.pauseMs * 2)
    this.#told.set(text, { atMs: nowMs, pauseMs })
    return true
  }

  /** It is over: the next time is a new one. */
  forget(): void {
    this.#told.clear()
  }
}

/** How fast a counter grows, over the last few seconds. */

/** Long enough to be calm, short enough to notice a stall. */
const windowMs = 8000

export class RateMeter {
  #samples: { readonly atMs: number; readonly value: number }[] = []

  add(atMs: number, value: number): void {
    const last = this.#samples.at(-1)
    // A counter that fell was begun anew.
    if (last !== undefined && value < last.value) this.#samples = []
    this.#samples.push({ atMs, value })
    // One sample older than the window stays, so that the window is always covered.
    while ((this.#samples[1]?.atMs ?? atMs) < atMs - windowMs) this.#samples.shift()
  }

  /** Per second; undefined before there are two moments to compare. */
  perSecond(): number | undefined {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined
    return ((last.value - first.value) * 1000) / (last.atMs - first.atMs)
  }
}

/** How long a copy still takes, told by how far it came since it was first looked at. */

/** Before so much of it was seen to be done, any answer would be a guess. */
const leastShare = 0.005

export class EtaMeter {
  #first: { readonly atMs: number; readonly share: number } | undefined

  /** Seconds; undefined while there is no telling, and when nothing is left. */
  secondsLeft(nowMs: number, share: number): number | undefined {
    // A share that fell is of another copy.
    if (this.#first === undefined || share < this.#first.share) this.#first = { atMs: nowMs, share }
    const { atMs, share: from } = this.#first
    if (share >= 1 || share - from < leastShare || nowMs <= atMs) return undefined
    return ((nowMs - atMs) / 1000) * ((1 - share) / (share - from))
  }
}

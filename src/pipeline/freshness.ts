/** Percentiles of a delay in bounded memory: a histogram with buckets 5 % wide. */
import type { CommitNumber, Manifest } from '../staging/manifest.ts'
import type { FreshnessStatus } from './pipeline-status.ts'

const growth = 1.05
const smallestMs = 1
/** Up to about 200 days. */
const bucketCount = 480

export class FreshnessRecorder {
  readonly #buckets = new Float64Array(bucketCount)
  #count = 0

  record(delayMs: number): void {
    const bucket = Math.ceil(Math.log(Math.max(delayMs, smallestMs)) / Math.log(growth))
    const index = Math.min(bucket, bucketCount - 1)
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1
    this.#count++
  }

  /** undefined before the first delay. A percentile is at most 5 % above the true one. */
  status(): FreshnessStatus | undefined {
    if (this.#count === 0) return undefined
    return {
      count: this.#count,
      p50Seconds: this.#percentile(0.5),
      p99Seconds: this.#percentile(0.99),
    }
  }

  #percentile(share: number): number {
    let left = Math.ceil(this.#count * share)
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      left -= this.#buckets[bucket] ?? 0
      if (left <= 0) return growth ** bucket / 1000
    }
    return growth ** (bucketCount - 1) / 1000
  }
}

/** A process that begins far behind says little about freshness. */
const mostPending = 10_000

interface PendingCommit {
  readonly commit: CommitNumber
  readonly times: readonly string[]
}

/** Commit times of staged commits that are not applied yet. */
export class CommitDelays {
  #pending: PendingCommit[] = []

  clear(): void {
    this.#pending = []
  }

  take({ commit, min_commit_time_us: min, max_commit_time_us: max }: Manifest): void {
    const times = [min, max].filter((time) => time !== undefined)
    if (times.length === 0) return
    if (this.#pending.length >= mostPending) this.#pending.splice(0, mostPending / 2)
    this.#pending.push({ commit, times })
  }

  /** Two delays per staged commit up to `target`: of its oldest and of its newest transaction. */
  record(recorder: FreshnessRecorder, target: CommitNumber, nowMs: number): void {
    for (const { commit, times } of this.#pending) {
      if (commit > target) break
      for (const time of times) recorder.record(nowMs - Number(BigInt(time) / 1000n))
    }
  }

  /** Up to `target` everything is applied. */
  forget(target: CommitNumber): void {
    const next = this.#pending.findIndex(({ commit }) => commit > target)
    this.#pending = next === -1 ? [] : this.#pending.slice(next)
  }
}

/**
 * What is durable, and the one place that says so. Manifests are published one at a time, requests
 * that wait meanwhile share the next one; only after a manifest is published is the source
 * acknowledged (I1). Positions only move forward, because the stream's batches come in order.
 */
import { backoffMs, type BackoffSettings } from '../base/backoff.ts'
import { asSluiceError } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import { sleep, type Timers } from '../base/timers.ts'
import type { Log } from '../observe/log.ts'
import type { Position, Source, SourceState } from '../source/source.ts'
import type { GapEntry, Manifest, ManifestEntry } from '../staging/manifest.ts'
import type { ManifestDraft, StagingLog } from '../staging/staging-log.ts'
import type { FollowedTable } from './followed-table.ts'
import { finishedEntry, type FollowedTables } from './followed-tables.ts'

/** Transactions of one staged commit; times in µs since 1970. */
export interface StagedTransactions {
  readonly first: bigint
  readonly last: bigint
  readonly minCommitTimeUs: bigint
  readonly maxCommitTimeUs: bigint
}

export interface Publication {
  readonly entries: readonly ManifestEntry[]
  /** The stream's, when everything before it is in this or an earlier publication. */
  readonly position?: Position
  readonly transactions?: StagedTransactions
  readonly barrier?: boolean
  /** With these entries, all chunks of the table's present copy are staged. */
  readonly staged?: FollowedTable
}

interface Request extends Publication {
  readonly resolve: (manifest: Manifest) => void
  readonly reject: (error: unknown) => void
}

export interface ProgressOptions {
  readonly staging: Pick<StagingLog, 'publish'>
  readonly source: Pick<Source, 'acknowledge' | 'remember'>
  readonly tables: FollowedTables
  readonly failpoints: Failpoints
  readonly log: Log
  readonly timers: Timers
  readonly random: () => number
  readonly backoff: BackoffSettings
  /** Failed tries of one publication before it is given up. */
  readonly tries: number
  readonly signal: AbortSignal
  readonly lastSequence: bigint
  readonly onStaged: (manifest: Manifest) => void
  /** Nothing can be published any more. */
  readonly onFailure: (error: unknown) => void
}

export class Progress {
  readonly #options: ProgressOptions
  #state: SourceState | undefined
  #lastSequence: bigint
  #requests: Request[] = []
  #announced: GapEntry[] = []
  #isRunning = false
  #running: Promise<void> = Promise.resolve()
  #failure: { readonly error: unknown } | undefined

  constructor(options: ProgressOptions) {
    this.#options = options
    this.#lastSequence = options.lastSequence
  }

  /** End of the last durable transaction and the log it is in; undefined before the first `begin`. */
  get state(): SourceState | undefined {
    return this.#state
  }

  /** Of the last durable transaction. */
  get lastSequence(): bigint {
    return this.#lastSequence
  }

  /** Where reading begins or goes on; nothing is published or acknowledged by this. */
  begin(state: SourceState): void {
    this.#state = state
  }

  /** Resolves when durable and acknowledged. Order of calls is order in the log. */
  publish(publication: Publication): Promise<Manifest> {
    if (this.#failure !== undefined) return Promise.reject(asSluiceError(this.#failure.error))
    return new Promise((resolve, reject) => {
      this.#requests.push({ ...publication, resolve, reject })
      this.#start()
    })
  }

  /** Goes into the next manifest, whatever happens to the present one. */
  announce(entry: GapEntry): void {
    this.#announced.push(entry)
    if (this.#state !== undefined) this.#start()
  }

  /** Resolves when nothing is left to publish. */
  settled(): Promise<void> {
    return this.#running
  }

  #start(): void {
    if (this.#isRunning || this.#failure !== undefined) return
    this.#isRunning = true
    this.#running = this.#run()
  }

  /** Begins after the caller's turn, so that what is asked for in one turn shares a manifest. */
  async #run(): Promise<void> {
    await Promise.resolve()
    while (this.#requests.length + this.#announced.length > 0) {
      const requests = this.#requests.splice(0)
      const announced = this.#announced.splice(0)
      try {
        const manifest = await this.#publishTogether(requests, announced)
        for (const request of requests) request.resolve(manifest)
      } catch (error) {
        this.#failure = { error }
        const lost = [...requests, ...this.#requests.splice(0)]
        for (const request of lost) request.reject(error)
        this.#options.onFailure(error)
        break
      }
    }
    this.#isRunning = false
  }

  async #publishTogether(requests: Request[], announced: GapEntry[]): Promise<Manifest> {
    const { source, tables, failpoints } = this.#options
    const before = this.#state
    if (before === undefined) throw new RangeError('published before the source was prepared')
    const position = requests.findLast((request) => request.position !== undefined)?.position
    const after = position ?? before.position
    const staged = requests.flatMap((request) => request.staged ?? [])
    const finished = tables.finishedBy(after, staged)
    const entries = [
      ...announced,
      ...requests.flatMap((request) => request.entries),
      ...finished.map(finishedEntry),
    ]
    // After the gaps were taken: what it knows, it has told.
    const incarnation = source.remember?.(before.incarnation) ?? before.incarnation
    const manifest = await this.#publishSurely({
      incarnation,
      position_before: before.position,
      position_after: after,
      ...transactionFields(requests),
      ...(requests.some((request) => request.barrier === true) ? { barrier: true } : {}),
      entries,
    })
    // The source may have been prepared anew while this was published.
    const now = this.#state ?? before
    this.#state = {
      incarnation: now.incarnation === before.incarnation ? incarnation : now.incarnation,
      position: position ?? now.position,
    }
    if (manifest.last_sequence !== undefined) this.#lastSequence = BigInt(manifest.last_sequence)
    tables.published(after, staged, finished)
    if (after !== before.position || manifest.barrier === true) {
      source.acknowledge(after)
      failpoints.hit('gateway.acknowledged')
    }
    this.#options.onStaged(manifest)
    return manifest
  }

  /**
   * A publication that failed may be visible all the same, so exactly the same one is tried again;
   * the log recognises it.
   */
  async #publishSurely(draft: ManifestDraft): Promise<Manifest> {
    const { staging, timers, random, backoff, tries, signal, log } = this.#options
    for (let failures = 1; ; failures++) {
      try {
        return await staging.publish(draft)
      } catch (error) {
        const { code, message, retry } = asSluiceError(error)
        const isFinal = retry !== 'backoff' || code === 'STAGING_PUBLISH_UNSETTLED'
        if (isFinal || failures >= tries || signal.aborted) throw error
        log.warn(`staging failed, trying again: ${message}`, { code, failures })
        await sleep(timers, backoffMs(failures, backoff, random), signal)
      }
    }
  }
}

function transactionFields(requests: readonly Publication[]): Partial<ManifestDraft> {
  const all = requests.flatMap((request) => request.transactions ?? [])
  const [first] = all
  const last = all.at(-1)
  if (first === undefined || last === undefined) return {}
  const smallest = all.reduce((a, b) => (b.minCommitTimeUs < a.minCommitTimeUs ? b : a), first)
  const greatest = all.reduce((a, b) => (b.maxCommitTimeUs > a.maxCommitTimeUs ? b : a), first)
  return {
    first_sequence: first.first.toString(),
    last_sequence: last.last.toString(),
    min_commit_time_us: smallest.minCommitTimeUs.toString(),
    max_commit_time_us: greatest.maxCommitTimeUs.toString(),
  }
}

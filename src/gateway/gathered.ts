/** Whole transactions gathered for the next staged commit. */
import type { Clock } from '../base/clock.ts'
import type { TruncateEntry } from '../staging/manifest.ts'
import type { StagedTransactions } from './progress.ts'
import type { GatewaySettings } from './settings.ts'

/** Staged commits that may wait to be published before the decoder has to pause. */
export const maximumWaitingCommits = 4

export interface Gathered {
  truncates: TruncateEntry[]
  transactions: StagedTransactions | undefined
  bytes: number
  sinceMs: number
}

export function nothingGathered(): Gathered {
  return { truncates: [], transactions: undefined, bytes: 0, sinceMs: 0 }
}

/** `before`, if any, and one more. */
export function withTransaction(
  before: StagedTransactions | undefined,
  { sequence, commitTimeUs: time }: { readonly sequence: bigint; readonly commitTimeUs: bigint },
): StagedTransactions {
  return {
    first: before?.first ?? sequence,
    last: sequence,
    minCommitTimeUs:
      before !== undefined && before.minCommitTimeUs < time ? before.minCommitTimeUs : time,
    maxCommitTimeUs:
      before !== undefined && before.maxCommitTimeUs > time ? before.maxCommitTimeUs : time,
  }
}

/** Far behind, fewer and larger files: nobody waits for freshness. */
export function flushIntervalMs(
  { maxCommitTimeUs }: StagedTransactions,
  { settings, clock }: { readonly settings: GatewaySettings; readonly clock: Clock },
): number {
  const lagMs = clock.nowMs() - Number(maxCommitTimeUs / 1000n)
  return lagMs > settings.bulkLagMs ? settings.bulkFlushIntervalMs : settings.flushIntervalMs
}

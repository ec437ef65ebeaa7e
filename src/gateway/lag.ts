/** How far behind we are and how long the source will keep what we have not read (I7). */
import type { SourceHealth } from '../source/source.ts'

export interface HealthSample extends SourceHealth {
  /** By a clock that never jumps. */
  readonly atMs: number
}

/** Below this many seconds to loss, people are warned. */
export const lossWarningSeconds = 3600

/**
 * Seconds until the source drops log that we still need, at the rate at which what it retains grew
 * from `before` to `now`. undefined: no limit, no growth, or no time between the samples. 0: the
 * budget is used up.
 */
export function secondsToLoss(
  before: HealthSample | undefined,
  now: HealthSample,
): number | undefined {
  if (now.budgetBytes === undefined) return undefined
  if (now.budgetBytes <= 0n) return 0
  if (before === undefined || now.atMs <= before.atMs) return undefined
  const grownBytes = Number(now.retainedBytes - before.retainedBytes)
  if (grownBytes <= 0) return undefined
  const bytesPerSecond = (grownBytes * 1000) / (now.atMs - before.atMs)
  return Number(now.budgetBytes) / bytesPerSecond
}

/** How long to wait before trying again: exponential with full jitter, capped. */

export interface BackoffSettings {
  /** Upper bound of the first pause. */
  readonly firstMs: number
  /** Upper bound of every pause. */
  readonly capMs: number
}

export const defaultBackoff: BackoffSettings = { firstMs: 500, capMs: 60_000 }

/**
 * Pause after the `failures`-th failure in a row (from 1), in ms. Full jitter, evenly between 0
 * and the bound, keeps many clients of one sick server from coming back all at once.
 */
export function backoffMs(
  failures: number,
  settings: BackoffSettings,
  random: () => number,
): number {
  const bound = Math.min(settings.capMs, settings.firstMs * 2 ** Math.min(failures - 1, 30))
  return Math.floor(random() * bound)
}

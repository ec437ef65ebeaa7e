/**
 * A standby that is promoted goes on sending its log, now of another timeline. The session is ended
 * then: the next one finds a primary, and keeps on record that its timeline is the one we read.
 */
import type { Log } from '../../observe/log.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Control } from './control.ts'
import { readServerState } from './log-guard.ts'

export interface PromotionWatch {
  /** Aborted when the server is no standby any more. */
  readonly signal: AbortSignal
  end(): void
}

export function watchPromotion(
  control: Control,
  { intervalMs, log }: { readonly intervalMs: number; readonly log: Log },
): PromotionWatch {
  const promoted = new AbortController()
  let isLooking = false
  const look = async (): Promise<void> => {
    if (isLooking) return
    isLooking = true
    try {
      if (!(await readServerState(control)).isStandby) promoted.abort()
    } catch (error) {
      log.debug('whether the standby was promoted could not be asked', { error: String(error) })
    } finally {
      isLooking = false
    }
  }
  const timer = setInterval(() => void look(), intervalMs)
  return { signal: promoted.signal, end: () => clearInterval(timer) }
}

export function promotedError(): SluiceError {
  return new SluiceError(
    'SOURCE_CONNECTION_LOST',
    'The standby that was read was promoted; its log is read on from a new session',
    { remedy: 'Nothing; it is read on by itself.' },
  )
}

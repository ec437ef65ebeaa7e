/**
 * Marks that we write into the log of the source and wait for in its stream: how long one takes is
 * the lag as a row would meet it, also while nobody changes anything. They need no table and no
 * place in the publication. A standby writes no log, so there are none.
 */
import type { SteadyClock } from '../../base/clock.ts'
import type { Log } from '../../observe/log.ts'
import type { Control } from './control.ts'
import { type Lsn, parseLsn, zeroLsn } from './lsn.ts'

export interface HeartbeatOptions {
  readonly control: Control
  readonly clock: SteadyClock
  readonly log: Log
  /** 0: none. */
  readonly intervalMs: number
}

/** From this version on a message that is not part of a transaction can be flushed at once. */
const flushVersion = 170000

export class Heartbeat {
  readonly #options: HeartbeatOptions
  #waiting: { readonly lsn: Lsn; readonly sentAtMs: number } | undefined
  #passed: Lsn = zeroLsn
  #lastMs: number | undefined
  #isSending = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** What the last mark took, or the present one already takes if that is more. */
  get roundTripMs(): number | undefined {
    const sinceMs =
      this.#waiting === undefined
        ? undefined
        : this.#options.clock.elapsedMs() - this.#waiting.sentAtMs
    if (sinceMs === undefined || this.#lastMs === undefined) return this.#lastMs ?? sinceMs
    return Math.max(sinceMs, this.#lastMs)
  }

  /** Returns what ends it. */
  start(server: { readonly version: number; readonly isStandby: boolean }): () => void {
    const { intervalMs } = this.#options
    this.#waiting = undefined
    this.#passed = zeroLsn
    if (intervalMs === 0 || server.isStandby) return () => undefined
    const timer = setInterval(() => void this.#send(server.version), intervalMs)
    return () => clearInterval(timer)
  }

  /** The stream has delivered everything before `lsn`. */
  passed(lsn: Lsn): void {
    this.#passed = lsn
    if (this.#waiting === undefined || lsn < this.#waiting.lsn) return
    this.#lastMs = this.#options.clock.elapsedMs() - this.#waiting.sentAtMs
    this.#waiting = undefined
  }

  async #send(version: number): Promise<void> {
    const { control, clock, log } = this.#options
    if (this.#waiting !== undefined || this.#isSending) return
    this.#isSending = true
    const sentAtMs = clock.elapsedMs()
    const flush = version >= flushVersion ? ', true' : ''
    try {
      const [row] = await control.query(
        `SELECT pg_logical_emit_message(false, 'sluice', 'heartbeat'${flush})::text AS lsn`,
      )
      this.#waiting = { lsn: parseLsn(row?.['lsn'] ?? ''), sentAtMs }
      // The stream may bring a mark before its statement is answered, and then nothing for long.
      this.passed(this.#passed)
    } catch (error) {
      log.debug('no heartbeat could be written', { error: String(error) })
    } finally {
      this.#isSending = false
    }
  }
}

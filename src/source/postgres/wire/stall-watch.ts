/**
 * Notices answers that never come. A connection can be dead without anybody saying so: a firewall
 * that forgot it, a proxy that stalls, a server that lost its disk. Silence alone proves nothing (a
 * server may look for rows for an hour), so after a while of it the server itself is asked, on
 * another connection, whether the process that serves us is at work.
 */
import { asSluiceError, SluiceError } from '../../../base/errors.ts'
import type { ErrorCode } from '../../../base/error-codes.ts'

export interface WatchedConnection {
  /** Reading is paused by us: silence is our own doing. */
  isHeld(): boolean
  /** Bytes received so far. */
  readBytes(): number
  /** Asks the peer for a sign of life, where the protocol has one. */
  nudge(): void
  /** Asks the server, on another connection, what the process does that serves this one. */
  ask(): Promise<BackendState>
  fail(error: SluiceError): void
}

/**
 * - `working`: an answer may still come.
 * - `gone`: the process has ended.
 * - `waiting`: it is done, or waits for us to read or to speak, and we hear nothing.
 */
export type BackendState = 'working' | 'gone' | 'waiting'

/**
 * The wait events in which a server has nothing left to do for us; a WAL sender that waits for more
 * log answers when asked. Versions spell some with other capitals.
 */
const waitsForClient: ReadonlySet<string> = new Set([
  'clientread',
  'clientwrite',
  'walsendermain',
  'walsenderwaitforwal',
  'walsenderwritedata',
])

export function backendStateSql(processId: number): string {
  return `SELECT state, wait_event FROM pg_stat_activity WHERE pid = ${processId}`
}

export function readBackendState(row: readonly (string | null)[] | undefined): BackendState {
  if (row === undefined) return 'gone'
  const [state, waitEvent] = row
  if (waitsForClient.has((waitEvent ?? '').toLowerCase())) return 'waiting'
  return state === 'active' || state === null ? 'working' : 'waiting'
}

const reasons: Readonly<Record<Exclude<BackendState, 'working'>, string>> = {
  gone: 'the process that served us has ended',
  waiting: 'the process that serves us waits for us, and nothing arrives',
}

/** Looks at the clock so many times within the timeout. */
const looks = 4
/** A server that is there and cannot be asked (it may have no connection left) is believed so often. */
const mostRefusals = 10

const unreachable: ReadonlySet<ErrorCode> = new Set([
  'SOURCE_UNREACHABLE',
  'SOURCE_CONNECTION_LOST',
  'SOURCE_TLS_FAILED',
  'SOURCE_TLS_REFUSED',
  'INTERNAL_ERROR',
])

export class StallWatch {
  readonly #connection: WatchedConnection
  readonly #timeoutMs: number
  readonly #where: string
  #timer: NodeJS.Timeout | undefined
  #seenBytes = 0
  #quietLooks = 0
  #isAsking = false
  #refusals = 0

  constructor(connection: WatchedConnection, timeoutMs: number, where: string) {
    this.#connection = connection
    this.#timeoutMs = timeoutMs
    this.#where = where
  }

  /** An answer is awaited from now on. */
  start(): void {
    if (this.#timeoutMs <= 0) return
    this.#heard()
    this.#timer ??= setInterval(() => this.#look(), this.#timeoutMs / looks).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #heard(): void {
    if (this.#connection.readBytes() !== this.#seenBytes) this.#refusals = 0
    this.#seenBytes = this.#connection.readBytes()
    this.#quietLooks = 0
  }

  #look(): void {
    if (this.#connection.isHeld() || this.#connection.readBytes() !== this.#seenBytes) {
      this.#heard()
      return
    }
    this.#quietLooks++
    if (this.#quietLooks < looks) this.#connection.nudge()
    else if (!this.#isAsking) void this.#ask()
  }

  async #ask(): Promise<void> {
    this.#isAsking = true
    const seconds = this.#timeoutMs / 1000
    try {
      const state = await this.#connection.ask()
      if (this.#timer === undefined || this.#connection.readBytes() !== this.#seenBytes) return
      if (state === 'working') this.#heard()
      else this.#fail(`sent nothing for ${seconds} s: ${reasons[state]}`)
    } catch (error) {
      if (this.#timer === undefined || this.#connection.readBytes() !== this.#seenBytes) return
      const isThere = !unreachable.has(asSluiceError(error).code)
      if (isThere && ++this.#refusals < mostRefusals) this.#heard()
      else this.#fail(`sent nothing for ${seconds} s, and cannot be asked why`, error)
    } finally {
      this.#isAsking = false
    }
  }

  #fail(what: string, cause?: unknown): void {
    this.stop()
    const options = cause === undefined ? {} : { cause }
    this.#connection.fail(new SluiceError('SOURCE_STALLED', `${this.#where} ${what}`, options))
  }
}

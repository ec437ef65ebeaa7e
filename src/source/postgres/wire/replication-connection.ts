/**
 * CopyBoth with a WAL sender: XLogData and keepalives in, standby status out (PostgreSQL
 * documentation, "Streaming Replication Protocol"). Status goes out by timer and when asked for,
 * also while reading is paused.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../../../base/clock.ts'
import { SluiceError } from '../../../base/errors.ts'
import { type Lsn, readLsn, zeroLsn } from '../lsn.ts'
import { backend, copyDoneMessage, encodeCopyData, encodeQuery } from './messages.ts'
import { ReadPacer } from './read-pacer.ts'
import { unexpectedType } from './exchange.ts'
import type { WireConnection } from './wire-connection.ts'

export interface ReplicationHandler {
  /**
   * One message of the output plugin is `bytes[start, end)`. A returned promise stops reading until
   * it resolves. The bytes are good during the call alone.
   */
  data(bytes: Buffer, start: number, end: number): Promise<void> | undefined
  /** Everything that the server sends before `walEnd` was handed over. */
  keepalive(walEnd: Lsn): void
  /** What one read brought was handed over. A returned promise stops reading until it resolves. */
  readDone(): Promise<void> | undefined
}

/** First bytes inside CopyData. */
const xLogData = 0x77
const keepalive = 0x6b
/** XLogData: 'w', WAL start, WAL end and clock, 8 bytes each. */
const xLogDataHeadBytes = 25
const keepaliveBytes = 18
/** Microseconds from 1970-01-01 to 2000-01-01. */
const postgresEpochUs = 946_684_800_000_000n
/** Confirmations that come within this time travel together. */
const confirmDelayMs = 50
const stopTimeoutMs = 1_000

export class ReplicationConnection {
  readonly #connection: WireConnection
  readonly #clock: Clock
  readonly #statusIntervalMs: number
  readonly #pacer = new ReadPacer()
  #flushed: Lsn = zeroLsn
  #written: Lsn = zeroLsn
  #isStreaming = false
  #isStopping = false
  #confirmTimer: NodeJS.Timeout | undefined
  #stopped: (() => void) | undefined

  /** `statusIntervalMs`: far below the time after which the server gives a silent reader up. */
  constructor(connection: WireConnection, clock: Clock, statusIntervalMs: number) {
    this.#connection = connection
    this.#clock = clock
    this.#statusIntervalMs = statusIntervalMs
  }

  /**
   * Runs START_REPLICATION and hands over what comes until `stop` is called. Rejects with whatever
   * ends the stream otherwise.
   */
  async stream(sql: string, doing: string, handler: ReplicationHandler): Promise<void> {
    const stopped = new Promise<void>((resolve) => (this.#stopped = resolve))
    const timer = setInterval(() => this.sendStatus(false), this.#statusIntervalMs)
    const run = this.#connection.run(encodeQuery(sql), {
      doing,
      message: (type, bytes, start, end) => this.#message(type, bytes, start, end, handler),
      readDone: (count) => (this.#isStopping ? undefined : this.#readDone(count, handler)),
      nudge: () => this.sendStatus(true),
    })
    try {
      await Promise.race([run, stopped])
      if (!this.#isStopping) throw this.#endedByServer(doing)
      // The server answers CopyDone at once unless it is busy sending a transaction.
      await Promise.race([run, sleep(stopTimeoutMs, undefined, { ref: false })])
    } catch (error) {
      if (!this.#isStopping) throw error
    } finally {
      this.#isStreaming = false
      clearInterval(timer)
      clearTimeout(this.#confirmTimer)
      run.catch(() => undefined)
      this.#connection.close()
    }
  }

  #endedByServer(doing: string): SluiceError {
    return new SluiceError('SOURCE_CONNECTION_LOST', `The server ended ${doing}`)
  }

  /** Sends a last status and ends the stream; what still comes is not handed over. */
  stop(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    this.sendStatus(false)
    if (this.#isStreaming) this.#connection.write(copyDoneMessage)
    this.#stopped?.()
  }

  /** Everything before `lsn` is durable with us. Never goes back. */
  confirm(lsn: Lsn): void {
    if (lsn <= this.#flushed) return
    this.#flushed = lsn
    if (!this.#isStreaming || this.#confirmTimer !== undefined) return
    this.#confirmTimer = setTimeout(() => {
      this.#confirmTimer = undefined
      this.sendStatus(false)
    }, confirmDelayMs)
  }

  /** Standby status update; with `wantsReply` the server answers with a keepalive. */
  sendStatus(wantsReply: boolean): void {
    if (!this.#isStreaming) return
    const written = this.#written > this.#flushed ? this.#written : this.#flushed
    const status = Buffer.allocUnsafe(34)
    status[0] = 0x72 // r
    status.writeBigUInt64BE(written, 1)
    status.writeBigUInt64BE(this.#flushed, 9)
    status.writeBigUInt64BE(this.#flushed, 17)
    status.writeBigInt64BE(BigInt(this.#clock.nowMs()) * 1000n - postgresEpochUs, 25)
    status[33] = wantsReply ? 1 : 0
    this.#connection.write(encodeCopyData(status))
  }

  #message(
    type: number,
    bytes: Buffer,
    start: number,
    end: number,
    handler: ReplicationHandler,
  ): Promise<void> | undefined {
    if (type === backend.copyData) {
      if (this.#isStopping) return undefined
      if (bytes[start] === xLogData && end - start >= xLogDataHeadBytes) {
        // Version 13 sends nothing in a message of its own for an origin that it can not name.
        if (end - start === xLogDataHeadBytes) return undefined
        return handler.data(bytes, start + xLogDataHeadBytes, end)
      }
      if (bytes[start] === keepalive && end - start === keepaliveBytes) {
        this.#keepalive(bytes, start, handler)
        return undefined
      }
      throw unexpectedType(bytes[start] ?? 0, 'inside a replication stream')
    }
    if (type === backend.copyBothResponse) {
      this.#isStreaming = true
      this.sendStatus(false)
    } else if (!endsOfStream.has(type)) {
      throw unexpectedType(type, 'in a replication stream')
    }
    return undefined
  }

  #keepalive(bytes: Buffer, start: number, handler: ReplicationHandler): void {
    const walEnd = readLsn(bytes, start + 1)
    if (walEnd > this.#written) this.#written = walEnd
    handler.keepalive(walEnd)
    if (bytes[start + 17] === 1) this.sendStatus(false)
  }

  #readDone(count: number, handler: ReplicationHandler): Promise<void> | undefined {
    const wait = handler.readDone()
    if (wait !== undefined) return wait
    const pauseMs = this.#pacer.pauseAfter(count, performance.now())
    if (pauseMs === 0) return undefined
    return new Promise((resolve) => {
      setTimeout(() => {
        this.#pacer.resumed(performance.now())
        resolve()
      }, pauseMs)
    })
  }
}

const endsOfStream: ReadonlySet<number> = new Set([
  backend.copyDone,
  backend.commandComplete,
  backend.rowDescription,
  backend.dataRow,
])

/**
 * One connection to PostgreSQL on the own client: start-up, authentication, simple queries, and the
 * ground on which COPY and replication stand. One exchange at a time.
 */
import type { Socket } from 'node:net'
import { asSluiceError, SluiceError } from '../../../base/errors.ts'
import { type PostgresOptions, sessionSettings } from '../connection-options.ts'
import { fromServerError, type ServerError } from '../server-error.ts'
import { Authentication } from './authentication.ts'
import { FrameBuffer } from './frame-buffer.ts'
import {
  backend,
  decodeDataRow,
  decodeServerError,
  encodeCancel,
  encodeQuery,
  encodeStartup,
  readText,
  terminateMessage,
} from './messages.ts'
import { openSocket, where, type WireSocket } from './socket.ts'

/**
 * A conversation in progress. A promise returned from either method stops reading until it
 * resolves; the bytes handed over stay where they are for that long.
 */
export interface Exchange {
  /** For messages of an error: "copying public.orders". */
  readonly doing: string
  message(type: number, bytes: Buffer, start: number, end: number): Promise<void> | undefined
  /** Everything whole that came so far was handed over; `count` bytes came with the last read. */
  readDone?(count: number): Promise<void> | undefined
}

interface Running {
  readonly exchange: Exchange
  readonly resolve: () => void
  readonly reject: (error: SluiceError) => void
  error: ServerError | undefined
}

export interface WireConnectionOptions {
  /** A WAL sender that speaks SQL as well (`replication=database`). */
  readonly isReplication?: boolean
  /** Added to the session settings. */
  readonly settings?: Readonly<Record<string, string>>
}

export type Row = readonly (string | null)[]

export class WireConnection {
  readonly #options: PostgresOptions
  readonly #frames = new FrameBuffer()
  #socket: WireSocket | undefined
  #running: Running | undefined
  #isHeld = false
  #lastReadBytes = 0
  #closed: SluiceError | undefined
  #processId = 0
  #secretKey = Buffer.alloc(0)
  /** Values the server reported: `server_version` and others. */
  readonly parameters = new Map<string, string>()
  /** Reads of the socket and their bytes so far, for measuring. */
  readCount = 0
  readBytes = 0

  private constructor(options: PostgresOptions) {
    this.#options = options
  }

  /** Connects and authenticates; ready for a query when it resolves. */
  static async open(
    options: PostgresOptions,
    how: WireConnectionOptions = {},
  ): Promise<WireConnection> {
    const connection = new WireConnection(options)
    let raw: Socket | undefined
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      raw?.destroy(new Error('timeout'))
    }, options.connectTimeoutMs)
    try {
      await connection.#start(how, (socket) => (raw = socket))
      return connection
    } catch (error) {
      connection.destroy()
      raw?.destroy()
      if (!isLate) throw error
      const message = `${where(options)} did not answer within ${options.connectTimeoutMs} ms`
      throw new SluiceError('SOURCE_UNREACHABLE', message, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Process id of the server process that serves this connection. */
  get processId(): number {
    return this.#processId
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  async #start(how: WireConnectionOptions, onSocket: (socket: Socket) => void): Promise<void> {
    const options = this.#options
    const events = {
      received: (count: number) => this.#received(count),
      closed: (error: SluiceError) => this.#fail(error),
    }
    const socket = await openSocket(options, this.#frames, events, onSocket)
    this.#socket = socket
    const authentication = new Authentication(options, socket)
    const startup = encodeStartup({
      user: options.user,
      database: options.database,
      ...(how.isReplication === true ? { replication: 'database' } : {}),
      ...sessionSettings,
      ...how.settings,
    })
    await this.run(startup, {
      doing: `connecting to ${where(options)} as "${options.user}"`,
      message: (type, bytes, start, end) => {
        if (type === backend.authentication) {
          return authentication.answer(Buffer.from(bytes.subarray(start, end)))
        }
        if (type === backend.backendKeyData && end - start >= 8) {
          this.#processId = bytes.readInt32BE(start)
          this.#secretKey = Buffer.from(bytes.subarray(start + 4, end))
          return undefined
        }
        if (type === backend.negotiateProtocolVersion) return undefined
        throw unexpectedType(type, 'during start-up')
      },
    })
  }

  /**
   * Sends `request`, hands the answer to `exchange`, resolves at ReadyForQuery. Rejects with the
   * server's error, or when the connection breaks or the exchange throws; then it is closed.
   */
  async run(request: Uint8Array, exchange: Exchange): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed
    if (this.#running !== undefined) {
      throw new SluiceError(
        'INTERNAL_ERROR',
        `The connection is busy ${this.#running.exchange.doing}`,
      )
    }
    await new Promise<void>((resolve, reject) => {
      this.#running = { exchange, resolve, reject, error: undefined }
      this.write(request)
    })
  }

  /** Rows, as texts, of all statements in `sql` together. */
  async query(sql: string, doing = 'running a statement'): Promise<readonly Row[]> {
    const rows: Row[] = []
    await this.run(encodeQuery(sql), {
      doing,
      message: (type, bytes, start, end) => {
        if (type === backend.dataRow) rows.push(decodeDataRow(bytes, start, end))
        else if (!answersOfQuery.has(type)) throw unexpectedType(type, doing)
        return undefined
      },
    })
    return rows
  }

  write(bytes: Uint8Array): void {
    if (this.#closed === undefined) this.#socket?.write(bytes)
  }

  #received(count: number): boolean {
    this.readCount++
    this.readBytes += count
    this.#lastReadBytes = count
    if (!this.#isHeld) this.#drain()
    return !this.#isHeld
  }

  #drain(): void {
    const frames = this.#frames
    try {
      while (frames.next()) {
        const wait = this.#dispatch(
          frames.type,
          frames.bytes,
          frames.contentStart,
          frames.contentEnd,
        )
        if (wait !== undefined) {
          this.#hold(wait, () => this.#drain())
          return
        }
      }
      const wait = this.#running?.exchange.readDone?.(this.#lastReadBytes)
      // What this read brought is done with: afterwards only the next read goes on.
      if (wait !== undefined) this.#hold(wait, () => undefined)
    } catch (error) {
      this.#fail(asSluiceError(error))
    }
  }

  #hold(wait: Promise<void>, goOn: () => void): void {
    this.#isHeld = true
    this.#socket?.pause()
    wait.then(
      () => {
        if (this.#closed !== undefined) return
        this.#isHeld = false
        goOn()
        if (!this.#isHeld) this.#socket?.resume()
      },
      (error: unknown) => this.#fail(asSluiceError(error)),
    )
  }

  #dispatch(type: number, bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    if (type === backend.copyData) {
      return this.#running?.exchange.message(type, bytes, start, end)
    }
    switch (type) {
      case backend.noticeResponse:
      case backend.notification:
        return undefined
      case backend.parameterStatus: {
        const name = readText(bytes, start, end)
        const value = readText(bytes, start + Buffer.byteLength(name) + 1, end)
        this.parameters.set(name, value)
        return undefined
      }
      case backend.errorResponse:
        this.#serverError(decodeServerError(bytes, start, end))
        return undefined
      case backend.readyForQuery:
        this.#ready()
        return undefined
      default:
        if (this.#running === undefined) throw unexpectedType(type, 'while idle')
        return this.#running.exchange.message(type, bytes, start, end)
    }
  }

  #serverError(error: ServerError): void {
    const running = this.#running
    if (running === undefined) {
      this.#fail(fromServerError(error, `The connection to ${where(this.#options)} ended`))
    } else {
      // The first one is the cause; the connection may end before it is ready again.
      running.error ??= error
    }
  }

  #ready(): void {
    const running = this.#running
    this.#running = undefined
    if (running === undefined) return
    if (running.error === undefined) running.resolve()
    else running.reject(errorOf(running.error, running.exchange))
  }

  #fail(error: SluiceError): void {
    const running = this.#running
    const cause = running?.error === undefined ? error : errorOf(running.error, running.exchange)
    this.#closed ??= cause
    this.#running = undefined
    this.#isHeld = true
    this.#socket?.destroy()
    running?.reject(cause)
  }

  /** Asks the server, on a connection of its own, to stop what this one is doing. */
  async cancel(): Promise<void> {
    const nothing = { received: () => true, closed: () => undefined }
    const socket = await openSocket(this.#options, new FrameBuffer(), nothing, () => undefined)
    socket.write(encodeCancel(this.#processId, this.#secretKey))
    socket.end()
  }

  /** Says goodbye; an exchange in progress is rejected. */
  close(): void {
    if (this.#closed !== undefined) return
    this.write(terminateMessage)
    this.#socket?.end()
    const running = this.#running
    this.#running = undefined
    this.#closed = new SluiceError('SOURCE_CONNECTION_LOST', 'The connection was closed by us')
    running?.reject(this.#closed)
  }

  destroy(): void {
    this.#fail(new SluiceError('SOURCE_CONNECTION_LOST', 'The connection was closed by us'))
  }
}

const answersOfQuery: ReadonlySet<number> = new Set([
  backend.rowDescription,
  backend.commandComplete,
  backend.emptyQueryResponse,
])

function errorOf(error: ServerError, exchange: Exchange): SluiceError {
  const isStartup = exchange.doing.startsWith('connecting')
  // Poolers know few start-up parameters and say so with a protocol violation.
  if (isStartup && error.sqlState === '08P01') {
    return new SluiceError('SOURCE_POOLER', `${exchange.doing}: "${error.message}"`, {
      cause: error,
    })
  }
  return fromServerError(error, exchange.doing)
}

export function unexpectedType(type: number, when: string): SluiceError {
  const shown = type >= 0x20 && type < 0x7f ? `"${String.fromCharCode(type)}"` : String(type)
  return new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `A message of type ${shown} came ${when}`)
}

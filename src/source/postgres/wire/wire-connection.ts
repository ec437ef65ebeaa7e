/**
 * One connection to PostgreSQL on the own client: start-up, authentication, simple queries, and the
 * ground on which COPY and replication stand. One exchange at a time.
 */
import type { Socket } from 'node:net'
import { asSluiceError, SluiceError } from '../../../base/errors.ts'
import { type PostgresOptions, sessionSettings } from '../connection-options.ts'
import { type HostAddress, shownAddress } from '../hosts.ts'
import { fromServerError, type ServerError } from '../server-error.ts'
import type { ServerState } from '../server-memory.ts'
import { Authentication } from './authentication.ts'
import {
  answersOfQuery,
  errorOf,
  type Exchange,
  type Row,
  type Running,
  unexpectedType,
} from './exchange.ts'
import { FrameBuffer } from './frame-buffer.ts'
import {
  backend,
  decodeColumnNames,
  decodeDataRow,
  decodeServerError,
  encodeCancel,
  encodeExtendedQuery,
  encodeQuery,
  encodeStartup,
  readText,
  terminateMessage,
} from './messages.ts'
import { readSessionState, sessionSql, type SessionState } from './session-check.ts'
import { openSocket, type WireSocket } from './socket.ts'
import { backendStateSql, readBackendState, StallWatch } from './stall-watch.ts'
import { startupError } from './startup-error.ts'
import { tryHosts } from './try-hosts.ts'

export interface WireConnectionOptions {
  /** A WAL sender that speaks SQL as well (`replication=database`). */
  readonly isReplication?: boolean
  /** Added to the session settings. */
  readonly settings?: Readonly<Record<string, string>>
}

/** Asks for another connection: stands beside the others and watches nothing itself. */
interface ProbeOptions extends WireConnectionOptions {
  readonly isProbe?: boolean
}

export class WireConnection {
  readonly #options: PostgresOptions
  readonly #address: HostAddress
  readonly #watch: StallWatch
  readonly #frames = new FrameBuffer()
  #socket: WireSocket | undefined
  #running: Running | undefined
  #isHeld = false
  #lastReadBytes = 0
  #closed: SluiceError | undefined
  #keyProcessId = 0
  #secretKey = Buffer.alloc(0)
  #session: SessionState | undefined
  /** Values the server reported: `server_version` and others. */
  readonly parameters = new Map<string, string>()
  /** Reads of the socket and their bytes so far, for measuring. */
  readCount = 0
  readBytes = 0

  private constructor(options: PostgresOptions, address: HostAddress, isProbe: boolean) {
    this.#options = options
    this.#address = address
    const timeoutMs = isProbe ? 0 : options.stallTimeoutMs
    this.#watch = new StallWatch(this.#watched(), timeoutMs, shownAddress(address))
  }

  /**
   * Connects to the first host that will do and authenticates; ready for a query when it resolves.
   * Ends the connections of the same options that are on another server.
   */
  static async open(
    options: PostgresOptions,
    how: WireConnectionOptions = {},
  ): Promise<WireConnection> {
    const connection = await tryHosts(options, async (address) => {
      return await WireConnection.#openAt(options, address, how)
    })
    options.memory.join(connection, connection.#address, connection.server)
    options.refusals.accepted()
    return connection
  }

  static async #openAt(
    options: PostgresOptions,
    address: HostAddress,
    how: ProbeOptions,
  ): Promise<WireConnection> {
    const connection = new WireConnection(options, address, how.isProbe === true)
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
      const message = `${shownAddress(address)} did not answer within ${options.connectTimeoutMs} ms`
      throw new SluiceError('SOURCE_UNREACHABLE', message, { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  /** Process id of the server process that serves this connection. */
  get processId(): number {
    return this.#session?.processId ?? this.#keyProcessId
  }

  /** Something in between gave this connection a process id of its own. */
  get isProxied(): boolean {
    return this.processId !== this.#keyProcessId
  }

  get address(): HostAddress {
    return this.#address
  }

  /** The server as it was when the connection was made. */
  get server(): ServerState {
    return this.#session ?? { identity: '', isStandby: false, isReadOnly: false }
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  async #start(how: WireConnectionOptions, onSocket: (socket: Socket) => void): Promise<void> {
    const options = this.#options
    const target = { options, address: this.#address }
    const [where, startedMs] = [shownAddress(this.#address), performance.now()]
    const events = {
      received: (count: number) => this.#received(count),
      closed: (error: SluiceError) => this.#fail(error),
    }
    const socket = await openSocket(target, this.#frames, events, onSocket)
    this.#socket = socket
    const authentication = new Authentication(target, socket, startedMs)
    const startup = encodeStartup({
      user: options.user,
      database: options.database,
      ...(how.isReplication === true ? { replication: 'database' } : {}),
      application_name: options.applicationName,
      ...sessionSettings,
      ...how.settings,
    })
    const { user, database, refusals } = options
    const isReplication = how.isReplication === true
    const doing = `connecting to ${where} as "${user}"`
    await this.run(startup, {
      doing,
      explain: (error) => startupError(error, { doing, user, database, isReplication, refusals }),
      message: (type, bytes, start, end) => {
        if (type === backend.authentication) {
          return authentication.answer(Buffer.from(bytes.subarray(start, end)))
        }
        if (type === backend.backendKeyData && end - start >= 8) {
          this.#keyProcessId = bytes.readInt32BE(start)
          this.#secretKey = Buffer.from(bytes.subarray(start + 4, end))
          return undefined
        }
        if (type === backend.negotiateProtocolVersion) return undefined
        throw unexpectedType(type, 'during start-up')
      },
    })
    const sql = sessionSql(this.parameters.get('server_version') ?? '')
    const [row] = await this.query(sql, `connecting to ${where}: looking at the session`)
    this.#session = readSessionState(row, where)
  }

  #watched(): ConstructorParameters<typeof StallWatch>[0] {
    return {
      isHeld: () => this.#isHeld,
      readBytes: () => this.readBytes,
      nudge: () => this.#running?.exchange.nudge?.(),
      ask: async () => {
        const how = { isProbe: true, settings: { statement_timeout: '10000' } }
        const probe = await WireConnection.#openAt(this.#options, this.#address, how)
        const timer = setTimeout(() => probe.destroy(), this.#options.connectTimeoutMs)
        try {
          const [row] = await probe.query(backendStateSql(this.processId), 'looking for ourselves')
          return readBackendState(row)
        } finally {
          clearTimeout(timer)
          probe.close()
        }
      },
      fail: (error) => this.#fail(error),
    }
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
      this.#watch.start()
      this.write(request)
    })
  }

  /**
   * One statement with `$1`-style parameters, or several without; hands over the names of the
   * columns before the rows.
   */
  async rows(
    statement: { readonly sql: string; readonly parameters: readonly string[] },
    doing: string,
    target: { columns(names: readonly string[]): void; row(cells: Row): void },
  ): Promise<void> {
    const { sql, parameters } = statement
    const request =
      parameters.length === 0 ? encodeQuery(sql) : encodeExtendedQuery(sql, parameters)
    await this.run(request, {
      doing,
      message: (type, bytes, start, end) => {
        if (type === backend.dataRow) target.row(decodeDataRow(bytes, start, end))
        else if (type === backend.rowDescription) {
          target.columns(decodeColumnNames(bytes, start, end))
        } else if (!answersOfQuery.has(type)) throw unexpectedType(type, doing)
        return undefined
      },
    })
  }

  /** Rows, as texts, of all statements in `sql` together. */
  async query(sql: string, doing = 'running a statement'): Promise<readonly Row[]> {
    const rows: Row[] = []
    const target = { columns: () => undefined, row: (cells: Row) => void rows.push(cells) }
    await this.rows({ sql, parameters: [] }, doing, target)
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
      const what = `The connection to ${shownAddress(this.#address)} ended`
      this.#fail(fromServerError(error, what))
    } else {
      // The first one is the cause; the connection may end before it is ready again.
      running.error ??= error
    }
  }

  #ready(): void {
    const running = this.#running
    this.#running = undefined
    this.#watch.stop()
    if (running === undefined) return
    if (running.error === undefined) running.resolve()
    else running.reject(errorOf(running.error, running.exchange, this.#options.user))
  }

  #fail(error: SluiceError): void {
    const running = this.#running
    const cause =
      running?.error === undefined
        ? error
        : errorOf(running.error, running.exchange, this.#options.user)
    this.#closed ??= cause
    this.#running = undefined
    this.#gone()
    this.#isHeld = true
    this.#socket?.destroy()
    running?.reject(cause)
  }

  /** Asks the server, on a connection of its own, to stop what this one is doing. */
  async cancel(): Promise<void> {
    const nothing = { received: () => true, closed: () => undefined }
    const target = { options: this.#options, address: this.#address }
    const socket = await openSocket(target, new FrameBuffer(), nothing, () => undefined)
    socket.write(encodeCancel(this.#keyProcessId, this.#secretKey))
    socket.end()
  }

  /** Says goodbye; an exchange in progress is rejected. */
  close(): void {
    if (this.#closed !== undefined) return
    this.write(terminateMessage)
    this.#socket?.end()
    const running = this.#running
    this.#running = undefined
    this.#gone()
    this.#closed = new SluiceError('SOURCE_CONNECTION_LOST', 'The connection was closed by us')
    running?.reject(this.#closed)
  }

  #gone(): void {
    this.#watch.stop()
    this.#options.memory.leave(this)
  }

  /** Ends it for a reason that an exchange in progress, and the next one, is rejected with. */
  end(error: SluiceError): void {
    this.#fail(error)
  }

  destroy(): void {
    this.#fail(new SluiceError('SOURCE_CONNECTION_LOST', 'The connection was closed by us'))
  }
}

/**
 * The byte stream below the protocol: TCP, or TLS negotiated with SSLRequest (PostgreSQL
 * documentation, "SSL Session Encryption"). Plain TCP is read straight into the frame buffer.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { SluiceError } from '../../../base/errors.ts'
import { type PostgresOptions, tlsOptions } from '../connection-options.ts'
import { fromSocketError } from '../server-error.ts'
import type { FrameBuffer } from './frame-buffer.ts'
import { serverEndPoint } from './scram.ts'

export interface SocketEvents {
  /** So many bytes were put into the frame buffer; false stops reading until `resume`. */
  received(count: number): boolean
  /** The last call. */
  closed(error: SluiceError): void
}

export interface WireSocket {
  readonly isEncrypted: boolean
  /** Channel binding data of the server's certificate, if it has any. */
  readonly serverEndPoint: Buffer | undefined
  write(bytes: Uint8Array): void
  pause(): void
  resume(): void
  /** Sends what was written, then closes. */
  end(): void
  destroy(): void
}

/** Code of SSLRequest: 1234 in the high, 5679 in the low half. */
const sslRequestCode = 80877103
const lingerMs = 1_000

export function where(options: PostgresOptions): string {
  return `${options.host}:${options.port}`
}

/** Connects; `onSocket` gets every raw socket at once, so that a timeout can destroy it. */
export async function openSocket(
  options: PostgresOptions,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  return options.sslMode === 'disable'
    ? await openPlain(options, frames, events, onSocket)
    : await openTls(options, frames, events, onSocket)
}

async function connected(socket: Socket, options: PostgresOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(fromSocketError(error, where(options), false)))
    socket.once('close', () => reject(closedEarly(options)))
    socket.once('connect', resolve)
  })
}

function closedEarly(options: PostgresOptions): SluiceError {
  return new SluiceError(
    'SOURCE_UNREACHABLE',
    `${where(options)} closed the connection while it was being made`,
  )
}

/** Turns the ends of `socket` into one `closed`. */
function watchEnd(socket: Socket, options: PostgresOptions, events: SocketEvents): void {
  let failure: Error | undefined
  socket.removeAllListeners('error')
  socket.removeAllListeners('close')
  socket.on('error', (error) => (failure = error))
  socket.on('close', () => {
    const error = failure ?? new Error('the server closed it')
    events.closed(fromSocketError(error, where(options), true))
  })
}

async function openPlain(
  options: PostgresOptions,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  const socket = connect({
    host: options.host,
    port: options.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    onread: {
      buffer: () => frames.writable(),
      callback: (count) => {
        frames.wrote(count)
        return events.received(count)
      },
    },
  })
  onSocket(socket)
  await connected(socket, options)
  watchEnd(socket, options, events)
  return over(socket, undefined)
}

async function openTls(
  options: PostgresOptions,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  const { host, port } = options
  const raw = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  })
  onSocket(raw)
  await connected(raw, options)
  await requestTls(raw, options)
  const socket = connectTls({ ...tlsOptions(options), host, socket: raw })
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(fromTlsError(error, options))
    raw.removeAllListeners('error')
    raw.removeAllListeners('close')
    raw.on('error', failed)
    socket.once('error', failed)
    socket.once('close', () => reject(closedEarly(options)))
    socket.once('secureConnect', resolve)
  })
  watchEnd(socket, options, events)
  socket.on('data', (chunk: Buffer) => {
    frames.append(chunk)
    if (!events.received(chunk.length)) socket.pause()
  })
  return over(socket, socket)
}

/** Until the handshake is done every failure but a lost network is one of TLS. */
function fromTlsError(error: Error, options: PostgresOptions): SluiceError {
  const known = fromSocketError(error, where(options), false)
  const isNetwork = 'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ETIMEDOUT')
  if (known.code === 'SOURCE_TLS_FAILED' || isNetwork) return known
  return new SluiceError(
    'SOURCE_TLS_FAILED',
    `TLS to ${where(options)} failed: ${error.message} (sslmode ${options.sslMode})`,
    { cause: error },
  )
}

async function requestTls(socket: Socket, options: PostgresOptions): Promise<void> {
  const request = Buffer.alloc(8)
  request.writeInt32BE(8, 0)
  request.writeInt32BE(sslRequestCode, 4)
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.removeAllListeners('error')
    socket.removeAllListeners('close')
    socket.once('error', (error) => reject(fromSocketError(error, where(options), false)))
    socket.once('close', () => reject(closedEarly(options)))
    socket.once('data', (chunk: Buffer) => {
      socket.pause()
      resolve(chunk)
    })
    socket.write(request)
  })
  // Bytes after the answer would have been sent without encryption, by whomever.
  if (answer.length === 1 && answer[0] === 0x53) return
  socket.destroy()
  if (answer[0] === 0x4e) {
    throw new SluiceError(
      'SOURCE_TLS_REFUSED',
      `${where(options)} does not offer TLS, and sslmode is ${options.sslMode}`,
      {
        remedy:
          "Turn TLS on at the server (ALTER SYSTEM SET ssl = on, with ssl_cert_file and ssl_key_file), or set the connection's sslmode to disable if the network is trusted.",
      },
    )
  }
  throw new SluiceError(
    'SOURCE_TLS_FAILED',
    `${where(options)} answered the request for TLS with ${answer.length} unexpected bytes`,
  )
}

function over(socket: Socket, secure: TLSSocket | undefined): WireSocket {
  const certificate = secure?.getPeerX509Certificate()
  return {
    isEncrypted: secure !== undefined,
    serverEndPoint: certificate === undefined ? undefined : serverEndPoint(certificate.raw),
    write: (bytes) => void socket.write(bytes),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    end: () => {
      socket.end()
      // Bytes that nobody reads any more would keep it half open.
      setTimeout(() => socket.destroy(), lingerMs).unref()
    },
    destroy: () => void socket.destroy(),
  }
}

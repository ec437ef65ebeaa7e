/**
 * The byte stream below the protocol: TCP or a Unix socket, with TLS negotiated by SSLRequest or
 * from the first byte on (PostgreSQL documentation, "SSL Session Encryption"). Plain bytes are read
 * straight into the frame buffer.
 */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { SluiceError } from '../../../base/errors.ts'
import type { PostgresOptions } from '../connection-options.ts'
import { type HostAddress, isUnixSocket, shownAddress, socketPath } from '../hosts.ts'
import { fromSocketError } from '../server-error.ts'
import { applicationProtocol, tlsOptions } from '../tls-settings.ts'
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

/** What a socket is opened for. */
export interface SocketTarget {
  readonly options: PostgresOptions
  readonly address: HostAddress
}

/** Code of SSLRequest: 1234 in the high, 5679 in the low half. */
const sslRequestCode = 80877103
const lingerMs = 1_000

/** Connects; `onSocket` gets every raw socket at once, so that a timeout can destroy it. */
export async function openSocket(
  target: SocketTarget,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  // Nobody can listen on a socket in the file system but who owns its folder.
  const isPlain = target.options.sslMode === 'disable' || isUnixSocket(target.address)
  return isPlain
    ? await openPlain(target, frames, events, onSocket)
    : await openTls(target, frames, events, onSocket)
}

function placeOf({ options, address }: SocketTarget): NetConnectOpts {
  if (isUnixSocket(address)) return { path: socketPath(address) }
  return {
    host: address.host,
    port: address.port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: options.keepaliveIdleMs,
  }
}

async function connected(socket: Socket, address: HostAddress): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error) => reject(fromSocketError(error, shownAddress(address), false)))
    socket.once('close', () => reject(closedEarly(address)))
    socket.once('connect', resolve)
  })
}

function closedEarly(address: HostAddress): SluiceError {
  return new SluiceError(
    'SOURCE_UNREACHABLE',
    `${shownAddress(address)} closed the connection while it was being made`,
  )
}

/** Turns the ends of `socket` into one `closed`. */
function watchEnd(socket: Socket, address: HostAddress, events: SocketEvents): void {
  let failure: Error | undefined
  socket.removeAllListeners('error')
  socket.removeAllListeners('close')
  socket.on('error', (error) => (failure = error))
  socket.on('close', () => {
    const error = failure ?? new Error('the server closed it')
    events.closed(fromSocketError(error, shownAddress(address), true))
  })
}

async function openPlain(
  target: SocketTarget,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  const socket = connect({
    ...placeOf(target),
    onread: {
      buffer: () => frames.writable(),
      callback: (count) => {
        frames.wrote(count)
        return events.received(count)
      },
    },
  })
  onSocket(socket)
  await connected(socket, target.address)
  watchEnd(socket, target.address, events)
  return over(socket, undefined)
}

async function openTls(
  target: SocketTarget,
  frames: FrameBuffer,
  events: SocketEvents,
  onSocket: (socket: Socket) => void,
): Promise<WireSocket> {
  const { options, address } = target
  const { host } = address
  const raw = connect(placeOf(target))
  onSocket(raw)
  await connected(raw, address)
  if (options.sslNegotiation === 'postgres') await requestTls(raw, target)
  const socket = connectTls({ ...tlsOptions(options, host), host, socket: raw })
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => reject(fromTlsError(error, target))
    raw.removeAllListeners('error')
    raw.removeAllListeners('close')
    raw.on('error', failed)
    socket.once('error', failed)
    socket.once('close', () => reject(closedInHandshake(target)))
    socket.once('secureConnect', resolve)
  })
  if (options.sslNegotiation === 'direct' && socket.alpnProtocol !== applicationProtocol) {
    socket.destroy()
    throw closedInHandshake(target)
  }
  watchEnd(socket, address, events)
  socket.on('data', (chunk: Buffer) => {
    frames.append(chunk)
    if (!events.received(chunk.length)) socket.pause()
  })
  return over(socket, socket)
}

const directRemedy =
  'Set sslnegotiation to postgres, unless the server is PostgreSQL 17 or newer and host and port are its own.'

function closedInHandshake({ options, address }: SocketTarget): SluiceError {
  if (options.sslNegotiation !== 'direct') return closedEarly(address)
  return new SluiceError(
    'SOURCE_TLS_FAILED',
    `${shownAddress(address)} does not speak PostgreSQL's protocol over TLS from the first byte on (sslnegotiation direct)`,
    { remedy: directRemedy },
  )
}

/** Until the handshake is done every failure but a lost network is one of TLS. */
function fromTlsError(error: Error, target: SocketTarget): SluiceError {
  const { options, address } = target
  const reason = 'code' in error ? error.code : undefined
  // A server that knows nothing of it hangs up.
  if (options.sslNegotiation === 'direct' && reason === 'ECONNRESET') {
    return closedInHandshake(target)
  }
  const known = fromSocketError(error, shownAddress(address), false)
  const isNetwork = reason === 'ECONNREFUSED' || reason === 'ETIMEDOUT'
  if (known.code === 'SOURCE_TLS_FAILED' || isNetwork) return known
  return new SluiceError(
    'SOURCE_TLS_FAILED',
    `TLS to ${shownAddress(address)} failed: ${error.message} (sslmode ${options.sslMode})`,
    { cause: error },
  )
}

async function requestTls(socket: Socket, { options, address }: SocketTarget): Promise<void> {
  const where = shownAddress(address)
  const request = Buffer.alloc(8)
  request.writeInt32BE(8, 0)
  request.writeInt32BE(sslRequestCode, 4)
  const answer = await new Promise<Buffer>((resolve, reject) => {
    socket.removeAllListeners('error')
    socket.removeAllListeners('close')
    socket.once('error', (error) => reject(fromSocketError(error, where, false)))
    socket.once('close', () => reject(closedEarly(address)))
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
      `${where} does not offer TLS, and sslmode is ${options.sslMode}`,
      {
        remedy:
          "Turn TLS on at the server (ALTER SYSTEM SET ssl = on, with ssl_cert_file and ssl_key_file), or set the connection's sslmode to disable if the network is trusted.",
      },
    )
  }
  throw new SluiceError(
    'SOURCE_TLS_FAILED',
    `${where} answered the request for TLS with ${answer.length} unexpected bytes`,
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

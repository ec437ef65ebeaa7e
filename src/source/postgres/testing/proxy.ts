/** A proxy for tests, between a client and a server on loopback: it stalls, redirects and alters. */
import { connect, createServer, type Socket } from 'node:net'

export interface Proxy {
  readonly port: number
  /** Connections that were made through it so far. */
  readonly count: number
  /** Where new connections go. */
  target: { readonly host: string; readonly port: number }
  /** Nothing passes any more on the connections that there are, and nobody is told. */
  stall(): void
  /** Neither on new ones. */
  stallAll(): void
  close(): Promise<void>
}

export interface ProxyOptions {
  readonly host?: string
  /** A Unix socket instead of a port. */
  readonly path?: string
  /** Sees, and may replace, the first bytes of a client. */
  readonly rewrite?: (first: Buffer) => Buffer
  /** The same for everything that a client sends. */
  readonly rewriteAll?: (bytes: Buffer) => Buffer
  /** Sends on what the server sends, when and as it likes. */
  readonly answer?: (bytes: Buffer, send: (bytes: Buffer) => void) => void
  /** Bytes from the server after which a connection stalls. */
  readonly stallAfterBytes?: number
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
  isStalled: boolean
}

function join(pair: Pair, pairs: Set<Pair>, options: ProxyOptions): void {
  const { client, server } = pair
  pairs.add(pair)
  let isFirst = true
  let fromServer = 0
  client.on('data', (bytes) => {
    if (pair.isStalled) return
    const sent = isFirst ? (options.rewrite?.(bytes) ?? bytes) : bytes
    server.write(options.rewriteAll?.(sent) ?? sent)
    isFirst = false
  })
  server.on('data', (bytes) => {
    fromServer += bytes.length
    if (fromServer > (options.stallAfterBytes ?? Infinity)) pair.isStalled = true
    // What is read no more backs up into the server, as behind a stalled network.
    if (pair.isStalled) server.pause()
    else if (options.answer !== undefined) options.answer(bytes, (some) => client.write(some))
    else if (!client.write(bytes)) {
      server.pause()
      client.once('drain', () => server.resume())
    }
  })
  const end = (): void => {
    if (pair.isStalled && !client.destroyed) return
    pairs.delete(pair)
    client.destroy()
    server.destroy()
  }
  for (const socket of [client, server]) {
    socket.on('error', () => undefined)
    socket.on('close', end)
  }
}

export async function startProxy(
  target: { readonly host: string; readonly port: number },
  options: ProxyOptions = {},
): Promise<Proxy> {
  const pairs = new Set<Pair>()
  let isDeaf = false
  let count = 0
  const listener = createServer((client) => {
    count++
    join({ client, server: connect(proxy.target), isStalled: isDeaf }, pairs, options)
  })
  const stall = (): void => {
    for (const pair of pairs) pair.isStalled = true
  }
  const { path, host = '127.0.0.1' } = options
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject)
    listener.listen(path === undefined ? { host, port: 0 } : { path }, resolve)
  })
  const address = listener.address()
  const proxy: Proxy = {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get count() {
      return count
    },
    target,
    stall,
    stallAll: () => {
      isDeaf = true
      stall()
    },
    close: async () => {
      for (const { client, server } of pairs) {
        client.destroy()
        server.destroy()
      }
      await new Promise((resolve) => listener.close(resolve))
    },
  }
  return proxy
}

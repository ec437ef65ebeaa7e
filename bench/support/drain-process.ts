/**
 * A process that runs COPY statements over a few plain sockets and throws every byte away: the
 * limit of what a reader in Node can take. Prints what it cost as one line of JSON.
 */
import { connect } from 'node:net'
import { encodeQuery, encodeStartup } from '../../src/source/postgres/wire/messages.ts'

export interface DrainJob {
  readonly port: number
  /** Run one after the other by whichever connection is free. */
  readonly statements: readonly string[]
  readonly connections: number
}

export interface DrainReport {
  /** From the first statement to the end of the last. */
  readonly wallSeconds: number
  readonly cpuSeconds: number
  readonly bytes: number
}

/** ReadyForQuery in a transaction or outside one: the end of every answer; no row looks so. */
function isReady(bytes: Buffer, end: number): boolean {
  return end >= 6 && bytes[end - 6] === 0x5a && bytes.readInt32BE(end - 5) === 5
}

class Drain {
  bytes = 0
  readonly #socket
  #resolve: () => void = () => undefined

  /** The server must trust local connections. */
  constructor(port: number) {
    const room = Buffer.allocUnsafeSlow(512 * 1024)
    this.#socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer: room,
        callback: (count: number) => {
          this.bytes += count
          if (isReady(room, count)) this.#resolve()
          return true
        },
      },
    })
  }

  ask(message: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#socket.once('error', reject)
      this.#socket.write(message)
    })
  }

  close(): void {
    this.#socket.destroy()
  }
}

async function drain(job: DrainJob): Promise<DrainReport> {
  const drains = Array.from({ length: job.connections }, () => new Drain(job.port))
  for (const one of drains) await one.ask(encodeStartup({ user: 'postgres', database: 'postgres' }))
  const left = [...job.statements]
  const beganAt = performance.now()
  const before = process.cpuUsage()
  await Promise.all(
    drains.map(async (one) => {
      for (let sql = left.shift(); sql !== undefined; sql = left.shift()) {
        await one.ask(encodeQuery(sql))
      }
    }),
  )
  const cpu = process.cpuUsage(before)
  const wallSeconds = (performance.now() - beganAt) / 1000
  for (const one of drains) one.close()
  return {
    wallSeconds,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    bytes: drains.reduce((sum, { bytes }) => sum + bytes, 0),
  }
}

console.log(JSON.stringify(await drain(JSON.parse(process.argv[2] ?? '') as DrainJob)))

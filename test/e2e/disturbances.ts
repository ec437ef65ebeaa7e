/**
 * What a network and a server do to a copy: cut connections, a server that dies and comes back, a
 * transaction that stays open while everything else wants to begin.
 */
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import type { Random } from '../support/random.ts'

const kinds = ['walsender', 'copy', 'any', 'hold'] as const

/** Of the copying process's sessions; our own have no application name. */
const victims = {
  walsender: `SELECT pg_terminate_backend(pid) FROM pg_stat_replication`,
  copy: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'sluice' AND (query LIKE 'COPY%' OR backend_xmin IS NOT NULL)
      AND backend_type = 'client backend'`,
  any: `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'sluice' AND random() < 0.5`,
} as const

export interface DisturbanceCounts {
  cutConnections: number
  heldTransactions: number
  serverCrashes: number
}

export class Disturbances {
  readonly counts: DisturbanceCounts = { cutConnections: 0, heldTransactions: 0, serverCrashes: 0 }
  readonly #server: EmbeddedPostgres
  readonly #random: Random
  readonly #stop = new AbortController()
  #held = 0
  #running: Promise<void> = Promise.resolve()
  #overlapping: Promise<void> = Promise.resolve()
  readonly #holding = new Set<Promise<void>>()

  constructor(server: EmbeddedPostgres, random: Random) {
    this.#server = server
    this.#random = random
  }

  start(): void {
    this.#running = this.#run()
  }

  /** From now on, at every moment, some transaction is open that began a while ago. */
  overlap(): void {
    this.#overlapping = this.#overlap()
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#running
    await this.#overlapping
    await Promise.all(this.#holding)
  }

  /** A transaction that began now and ends, one way or the other, in `ms`. Resolves once it is open. */
  async hold(ms: number): Promise<void> {
    const end = this.#random.pick(['COMMIT', 'COMMIT', 'ROLLBACK'])
    const client = await this.#server.connect()
    // Keys that the workload does not use.
    await client.query(`BEGIN; INSERT INTO journal VALUES (${-++this.#held}, 'held')`)
    this.counts.heldTransactions++
    const ended = this.#pause(ms).then(async () => {
      await client.query(end).catch(() => undefined)
      await client.end().catch(() => undefined)
      this.#holding.delete(ended)
    })
    this.#holding.add(ended)
  }

  async #overlap(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.hold(this.#random.int(600, 1200)).catch(() => undefined)
      await this.#pause(500)
    }
  }

  /** The server dies in the middle of a large transaction and comes back. */
  async crashServer(): Promise<void> {
    const doomed = await this.#server.connect()
    const lost = doomed
      .query(
        `BEGIN; INSERT INTO bulk SELECT -g, 'doomed', 0 FROM generate_series(1, 20000) g; SELECT pg_sleep(9)`,
      )
      .catch(() => undefined)
    await this.#pause(this.#random.int(50, 400))
    await this.#server.crash()
    await lost
    await doomed.end().catch(() => undefined)
    await this.#pause(this.#random.int(0, 1500))
    await this.#server.start()
    this.counts.serverCrashes++
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await this.#pause(this.#random.int(200, 2500))
      const kind = this.#random.pick(kinds)
      try {
        if (kind === 'hold') {
          await this.hold(this.#random.int(500, 4000))
        } else this.counts.cutConnections += (await this.#server.sql(victims[kind])).length
      } catch {
        // The server is down just now.
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#stop.signal.aborted) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#stop.signal.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
  }
}

/** A database, a disk and processes that die: what the gateway's replay tests play in. */
import { expect } from 'vitest'
import { type Log, silentLog } from '../../../src/observe/log.ts'
import { createGateway } from '../../../src/gateway/gateway.ts'
import type { RefreshableGateway } from '../../../src/gateway/gateway-options.ts'
import type { GatewayResult } from '../../../src/gateway/gateway-status.ts'
import type { GatewaySettings } from '../../../src/gateway/settings.ts'
import type { TableSelection } from '../../../src/gateway/select-tables.ts'
import type { Failpoints } from '../../../src/base/failpoint.ts'
import type { StagingLog } from '../../../src/staging/staging-log.ts'
import { createRandom, type Random } from '../random.ts'
import { FakeDatabase } from './fake-database.ts'
import { FakeSource, type FakeSourceOptions } from './fake-source.ts'
import { FakeTime } from './fake-time.ts'
import { openMemoryStaging, StagingDisk } from './memory-staging.ts'
import { stagedTables, volumeOf, type StagedVolume } from './staged-tables.ts'
import type { SourceTable } from '../../../src/source/table-schema.ts'

export interface ProcessOptions {
  readonly mode: 'once' | 'continuous'
  /** Runs `until` this position instead. */
  readonly until?: number
  /** The step, counted over everything the process does, at which it dies. */
  readonly diesAt?: number
  /** The step at which it is asked to stop. */
  readonly stopsAt?: number
  readonly settings?: Partial<GatewaySettings>
  readonly source?: Partial<FakeSourceOptions>
  readonly selection?: TableSelection
  readonly refresh?: readonly string[] | 'all'
  /** In place of the log over the world's own disk. */
  readonly openStaging?: (failpoints: Failpoints) => Promise<StagingLog>
  readonly log?: Log
  /** Called at every step of a living process; may throw, which fails that step. */
  readonly atStep?: (moment: Moment) => void
}

export interface Moment {
  readonly gateway: RefreshableGateway
  /** What is about to be done. */
  readonly name: string
  readonly stop: () => void
}

export type ProcessEnd =
  | { readonly kind: 'resolved'; readonly result: GatewayResult; readonly source: FakeSource }
  | { readonly kind: 'rejected'; readonly error: unknown; readonly source: FakeSource }

export class GatewayWorld {
  readonly time = new FakeTime()
  readonly disk = new StagingDisk()
  readonly database: FakeDatabase
  readonly random: Random
  /** What writers do at a step; nothing when there is none. */
  writers: () => void = () => undefined

  constructor(tables: readonly SourceTable[], seed = 1) {
    this.database = new FakeDatabase(tables, () => this.time.nowMs())
    this.random = createRandom(seed)
  }

  async process(options: ProcessOptions): Promise<ProcessEnd> {
    const stop = new AbortController()
    let steps = 0
    let isDead = false
    const die = (): never => {
      isDead = true
      stop.abort()
      throw new Error('killed')
    }
    const check = (name: string): void => {
      if (isDead) die()
      steps++
      if (steps === options.diesAt) die()
      if (steps === options.stopsAt) stop.abort()
      options.atStep?.({ gateway, name, stop: () => stop.abort() })
      this.writers()
    }
    const step = async (name: string): Promise<void> => {
      check(name)
      if (this.random.chance(0.1)) await new Promise((resolve) => setImmediate(resolve))
    }
    const failpoints: Failpoints = { hit: check }
    const staging =
      (await options.openStaging?.(failpoints)) ??
      openMemoryStaging({ disk: this.disk, step, nowMs: () => this.time.nowMs() })
    const source = new FakeSource({
      database: this.database,
      step,
      onAcknowledge: (position) => assertDurable(staging, position),
      ...options.source,
    })
    const gateway: RefreshableGateway = createGateway({
      source,
      staging,
      tables: options.selection ?? { schemas: ['public'], tables: [] },
      log: options.log ?? silentLog,
      clock: this.time,
      timers: this.time,
      random: () => 0.5,
      failpoints,
      settings: { fileBytes: 2_000, chunkIntervalMs: 50, ...options.settings },
    })
    if (options.refresh !== undefined) gateway.refresh(options.refresh)
    try {
      const { signal } = stop
      const { mode, until } = options
      const result = await gateway.run(
        until === undefined ? { mode, signal } : { mode: 'until', until: String(until), signal },
      )
      return { kind: 'resolved', result, source }
    } catch (error) {
      return { kind: 'rejected', error, source }
    }
  }

  /** At each staged commit, every table that may be loaded is what it was at the source there. */
  assertExact(): void {
    let sequence = 0n
    let before = 0
    for (const [at, manifest] of this.disk.manifests.entries()) {
      if (manifest.position_after === '') continue
      const position = Number(manifest.position_after)
      expect(position).toBeGreaterThanOrEqual(before)
      before = position
      if (manifest.first_sequence !== undefined) {
        expect(BigInt(manifest.first_sequence)).toBe(sequence + 1n)
        sequence = BigInt(manifest.last_sequence ?? 0)
      }
      if (!this.#isLookedAt(at)) continue
      this.assertSame(volumeOf(this.disk), at)
    }
  }

  /** What may be loaded at the staged commit `at` is what the source was at its position. */
  assertSame(volume: StagedVolume, at: number): void {
    const truth = this.database.stateAt(Number(volume.manifests[at]?.position_after))
    for (const table of stagedTables(volume, at).values()) {
      const rows = truth.get(table.tableId) ?? new Map<number, unknown>()
      expect(plain(table.rows), `table ${table.tableId} at ${at}`).toEqual(plain(rows))
    }
  }

  /** All of a short log; of a long one some, and always the last. */
  #isLookedAt(at: number): boolean {
    const { length } = this.disk.manifests
    return at === length - 1 || this.random.chance(12 / length)
  }

  /** Ids of the tables that may be loaded at the end. */
  loadable(): readonly string[] {
    return [...stagedTables(volumeOf(this.disk), this.disk.manifests.length - 1).keys()].toSorted()
  }
}

/** I1: nothing is acknowledged before a manifest holds it. */
function assertDurable({ recovered }: StagingLog, position: number): void {
  const staged = Number(recovered.place?.position)
  if (staged < position) throw new Error(`acknowledged ${position}, staged ${staged}`)
}

/**
 * By key; without NULL cells, because a column that was added shows only once a row with it comes.
 */
function plain(rows: ReadonlyMap<string | number, unknown>): unknown {
  const byKey = [...rows].toSorted(([a], [b]) => Number(a) - Number(b))
  const cells = (row: unknown): unknown =>
    Object.fromEntries(Object.entries(row ?? {}).filter(([, cell]) => cell !== null))
  return Object.fromEntries(byKey.map(([key, row]) => [key, cells(row)]))
}

/**
 * A process that runs one gateway and nothing else, `once`, and prints what it cost as one line of
 * JSON. Its argument is a `GatewayJob` as JSON.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints, type FailpointName } from '../../src/base/failpoint.ts'
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import type { GatewaySettings } from '../../src/gateway/settings.ts'
import type { TableSelection } from '../../src/gateway/select-tables.ts'
import { createLog } from '../../src/observe/log.ts'
import {
  createPostgresSource,
  type PostgresSource,
} from '../../src/source/postgres/postgres-source.ts'
import { type ManifestDraft, openStagingLog } from '../../src/staging/staging-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'

export interface GatewayJob {
  readonly port: number
  readonly password: string
  readonly slot: string
  readonly volume: string
  readonly settings: Partial<GatewaySettings>
  /** Tables of `public`; `orders` when left out. */
  readonly tables?: readonly string[]
  /** Every table of this schema instead. */
  readonly schema?: string
  /** Runs on, with nothing to do, and measures that; else the run is `once`. */
  readonly idleSeconds?: number
}

export interface GatewayReport {
  /** The whole run: from connecting to everything staged and acknowledged. */
  readonly wallSeconds: number
  /** From the first snapshot to the manifest with the last chunk; 0 without a copy. */
  readonly copySeconds: number
  /** CPU of all threads during the run. */
  readonly cpuSeconds: number
  /** CPU of the thread that runs JavaScript. */
  readonly threadSeconds: number
  /** CPU of all threads per 1 M rows once the first third is staged: what a long run costs. */
  readonly steadySeconds: number
  /** CPU of the process's life by the name of its threads, user and system. */
  readonly threads: Readonly<Record<string, readonly [number, number]>>
  readonly peakRssBytes: number
  /** From the begin of the run until the stream is asked for. */
  readonly startSeconds: number
  /** CPU of all threads while idle, in cores. */
  readonly idleCores: number
  readonly idleRssBytes: number
  readonly rows: number
  readonly changes: number
  readonly stagedBytes: number
}

const settleMs = 15_000

async function runGateway(job: GatewayJob): Promise<GatewayReport> {
  const { slot } = job
  const log = createLog((level, message, fields) => {
    if (level !== 'info' || process.env['BENCH_LOG'] !== undefined) {
      console.error(level, message, fields)
    }
  })
  let copyBeganAt = 0
  let copyEndedAt = 0
  const failpoints = {
    hit: (name: FailpointName) => {
      if (name === 'gateway.snapshot-started' && copyBeganAt === 0) copyBeganAt = performance.now()
    },
  }
  let streamedAt = Number.NaN
  const source = createPostgresSource({
    options: {
      host: '127.0.0.1',
      port: String(job.port),
      user: 'postgres',
      password: job.password,
      database: 'postgres',
      sslmode: 'disable',
    },
    slotName: slot,
    publicationName: slot,
    log,
    clock: systemClock,
    failpoints: noFailpoints,
  })
  const staging = await openStagingLog({
    storage: createLocalStorage(job.volume),
    writer: 'bench',
    createEncoder: createParquetEncoder,
    clock: systemClock,
    log,
    failpoints: noFailpoints,
  })
  const publish = staging.publish.bind(staging)
  const gateway = createGateway({
    source: watched(source, () => {
      if (Number.isNaN(streamedAt)) streamedAt = performance.now()
    }),
    staging: Object.assign(staging, {
      publish: async (draft: ManifestDraft) => {
        const manifest = await publish(draft)
        const isCopy = manifest.entries.some(({ kind }) => kind === 'snapshot_chunk')
        if (isCopy) copyEndedAt = performance.now()
        return manifest
      },
    }),
    tables: selectionOf(job),
    settings: job.settings,
    log,
    failpoints,
    onStaged: () => {
      marks.push({ at: process.cpuUsage(), rows: gateway.status().changes })
    },
  })
  const marks: Mark[] = []
  const beganAt = performance.now()
  const cpuBefore = process.cpuUsage()
  const threadBefore = process.threadCpuUsage()
  const controller = new AbortController()
  const mode = job.idleSeconds === undefined ? 'once' : 'continuous'
  const running = gateway.run({ mode, signal: controller.signal })
  const idle = await measureIdle(job.idleSeconds ?? 0)
  if (mode === 'continuous') controller.abort()
  const result = await running
  const wallSeconds = (performance.now() - beganAt) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  const thread = process.threadCpuUsage(threadBefore)
  if (result.failedTables.length > 0) throw new Error('a table failed')
  const status = gateway.status()
  await staging.close()
  await source.close()
  return {
    wallSeconds,
    copySeconds: (copyEndedAt - copyBeganAt) / 1000,
    cpuSeconds: (cpu.user + cpu.system) / 1e6,
    threadSeconds: (thread.user + thread.system) / 1e6,
    steadySeconds: steadySeconds(marks),
    threads: threadTimes(),
    peakRssBytes: Number(/VmHWM:\s+(\d+) kB/.exec(statusOfProcess())?.[1] ?? 0) * 1024,
    startSeconds: (streamedAt - beganAt) / 1000,
    ...idle,
    rows: status.tables.reduce((sum, { snapshotRows }) => sum + snapshotRows, 0),
    changes: status.changes,
    stagedBytes: status.stagedBytes,
  }
}

function selectionOf({ schema, tables = ['orders'] }: GatewayJob): TableSelection {
  if (schema !== undefined) return { schemas: [schema], tables: [] }
  return { schemas: [], tables: tables.map((table) => ({ schema: 'public', table })) }
}

/** The source, telling when it is asked for its stream. */
function watched(source: PostgresSource, onStream: () => void): PostgresSource {
  return new Proxy(source, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name === 'streamChanges') onStream()
      return (...args: unknown[]): unknown => Reflect.apply(value, target, args)
    },
  })
}

/** Once it has settled. */
async function measureIdle(
  seconds: number,
): Promise<Pick<GatewayReport, 'idleCores' | 'idleRssBytes'>> {
  if (seconds === 0) return { idleCores: 0, idleRssBytes: 0 }
  await sleep(settleMs)
  const before = process.cpuUsage()
  const beganAt = performance.now()
  await sleep(seconds * 1000)
  const cpu = process.cpuUsage(before)
  const microseconds = (performance.now() - beganAt) * 1000
  return {
    idleCores: (cpu.user + cpu.system) / microseconds,
    idleRssBytes: process.memoryUsage.rss(),
  }
}

interface Mark {
  readonly at: NodeJS.CpuUsage
  /** Changes handed over for writing until then. */
  readonly rows: number
}

function steadySeconds(marks: readonly Mark[]): number {
  const last = marks.at(-1)
  const first = marks.find(({ rows }) => rows * 3 >= (last?.rows ?? 0))
  if (first === undefined || last === undefined || first.rows === last.rows) return Number.NaN
  const cpu = last.at.user + last.at.system - first.at.user - first.at.system
  return cpu / (last.rows - first.rows)
}

/** proc(5): the name in parentheses, then 11 fields later user and system time in 1/100 s. */
function threadTimes(): Record<string, [number, number]> {
  const times: Record<string, [number, number]> = {}
  for (const id of readdirSync('/proc/self/task')) {
    const stat = readFileSync(`/proc/self/task/${id}/stat`, 'utf8')
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'))
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const sum = (times[name] ??= [0, 0])
    sum[0] += Number(fields[11]) / 100
    sum[1] += Number(fields[12]) / 100
  }
  return times
}

function statusOfProcess(): string {
  return readFileSync('/proc/self/status', 'utf8')
}

const report = await runGateway(JSON.parse(process.argv[2] ?? '') as GatewayJob)
console.log(JSON.stringify(report))

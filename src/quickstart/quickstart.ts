/**
 * The quick start: a private server, a shop, a workload, and the product itself between them, driven
 * through the same door as the commands use. Whatever ends it, the server is stopped.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { hasCode, SluiceError } from '../base/errors.ts'
import type { ResourceFileResult } from '../catalog/resource-file.ts'
import type { Resources } from '../catalog/resources.ts'
import type {
  App,
  OpenApp,
  QuickstartOptions,
  QuickstartResult,
  RunProgress,
  Running,
  VerifyReport,
} from '../cli/app.ts'
import type { Log } from '../observe/log.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import {
  beginFolder,
  exampleQueries,
  passwordVariable,
  resourceFileText,
} from './quickstart-folder.ts'
import { createShop, type ShopSize, shopTables } from './shop-schema.ts'
import { startWorkload, type Workload, type WorkloadCounts } from './workload.ts'

export interface QuickstartParts {
  readonly openApp: OpenApp
  readonly parseResourceFile: (
    text: string,
    options: { readonly file: string; readonly env: Environment },
  ) => ResourceFileResult
  /** The folder under which the quick start makes its own. */
  readonly dataFolder: string
  readonly env: Environment
  readonly log: Log
  /** Default: the embedded one. */
  readonly startServer?: typeof startEmbeddedPostgres
}

type Environment = Readonly<Record<string, string | undefined>>

const pollMs = 100

/** What is known once the streaming part is over. */
interface Streamed {
  readonly rowsLoaded: number
  readonly loadSeconds: number
  readonly counts: WorkloadCounts
  readonly freshness: QuickstartResult['freshness']
}

const nothing: Streamed = {
  rowsLoaded: 0,
  loadSeconds: 0,
  counts: { changes: 0, transactions: 0, rollbacks: 0 },
  freshness: undefined,
}

/**
 * A stop by `options.signal` resolves with `wasStopped`; a failure rejects. In both cases nothing
 * runs any more and the server's own folder is gone.
 */
export async function runQuickstart(
  options: QuickstartOptions,
  parts: QuickstartParts,
): Promise<QuickstartResult> {
  const { signal, onStep } = options
  const folder = await beginFolder(parts.dataFolder)
  const resourceFile = join(folder, 'shop.yml')
  const done = (streamed: Streamed, verified: VerifyReport | undefined): QuickstartResult => ({
    wasStopped: verified === undefined,
    tableCount: shopTables.length,
    rowsLoaded: streamed.rowsLoaded,
    loadSeconds: streamed.loadSeconds,
    changes: streamed.counts.changes,
    transactions: streamed.counts.transactions,
    freshness: streamed.freshness,
    verified,
    resourceFile,
    dataFolder: folder,
    lakeFolder: join(folder, 'lake'),
    queries: verified === undefined ? [] : exampleQueries,
  })
  if (signal.aborted) return done(nothing, undefined)
  onStep('Starting a private PostgreSQL on this machine')
  const server = await (parts.startServer ?? startEmbeddedPostgres)({
    settings: { max_wal_size: '4GB' },
  })
  try {
    const text = resourceFileText(server)
    await writeFile(resourceFile, text)
    if (signal.aborted) return done(nothing, undefined)
    onStep(`Filling a shop with about ${Math.round(options.rows / 1000)} thousand rows`)
    const size = await unlessAborted(
      createShop(() => server.connect(), { rows: options.rows }),
      signal,
    )
    if (size === undefined) return done(nothing, undefined)
    const env = { ...parts.env, [passwordVariable]: server.password }
    const app = await parts.openApp({ dataFolder: folder, env, log: parts.log, catalog: 'create' })
    try {
      const resources = parse(parts, text, { file: resourceFile, env })
      await app.deploy(resources)
      const streamed = await stream(options, { app, resources, server, size })
      const verified = await drainAndVerify(options, app, resources)
      return done(streamed, verified)
    } finally {
      await app.close()
    }
  } finally {
    await server.stop()
  }
}

function parse(
  parts: QuickstartParts,
  text: string,
  options: { readonly file: string; readonly env: Environment },
): Resources {
  const result = parts.parseResourceFile(text, options)
  if (result.kind === 'valid') return result.resources
  const [problem] = result.problems
  throw new SluiceError('QUICKSTART_FAILED', `its own resource file: ${problem?.message ?? ''}`)
}

/** undefined when the signal came first; the work's outcome is then nobody's any more. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  const aborted = new Promise<undefined>((resolve) => {
    if (signal.aborted) resolve(undefined)
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
  })
  work.catch(() => undefined)
  return await Promise.race([work, aborted])
}

interface Stage {
  readonly app: App
  readonly resources: Resources
  readonly server: EmbeddedPostgres
  readonly size: ShopSize
}

/** Copies and follows while the workload goes on; ends after `seconds` of streaming, or by the signal. */
async function stream(
  options: QuickstartOptions,
  { app, resources, server, size }: Stage,
): Promise<Streamed> {
  const { signal, onStep } = options
  onStep(`Copying and following it, at ${options.changesPerSecond} changes per second`)
  const stop = new AbortController()
  const workload = startWorkload({
    connect: () => server.connect(),
    size,
    changesPerSecond: options.changesPerSecond,
  })
  const running = app.start(resources, { mode: 'continuous', signal: stop.signal })
  options.onRunning(running)
  let counts: WorkloadCounts | undefined
  let loadSeconds: number
  let freshness: QuickstartResult['freshness']
  try {
    loadSeconds = await waitForLoad(running, workload, signal)
    if (!signal.aborted) {
      onStep(`Everything is loaded; following the changes for ${options.seconds} s`)
      await following(running, workload, { seconds: options.seconds, signal })
    }
    counts = await workload.stop()
    freshness = freshnessOf(running.progress())
  } finally {
    if (counts === undefined) await workload.stop().catch(() => undefined)
    stop.abort()
    await Promise.allSettled([running.done])
  }
  throwFailed(await running.done)
  return { rowsLoaded: rowsOf(running.progress()), loadSeconds, counts, freshness }
}

/** Seconds until every table was visible; returns early when the signal comes. */
async function waitForLoad(
  running: Running,
  workload: Workload,
  signal: AbortSignal,
): Promise<number> {
  const begunAtMs = performance.now()
  while (!signal.aborted && !isLoaded(running.progress())) {
    throwTableProblem(running.progress())
    await Promise.race([pause(pollMs), workload.done, endedEarly(running)])
  }
  return (performance.now() - begunAtMs) / 1000
}

async function following(
  running: Running,
  workload: Workload,
  until: { readonly seconds: number; readonly signal: AbortSignal },
): Promise<void> {
  const endMs = performance.now() + until.seconds * 1000
  while (!until.signal.aborted && performance.now() < endMs) {
    throwTableProblem(running.progress())
    await Promise.race([pause(pollMs), workload.done, endedEarly(running)])
  }
}

/** Continuous work that ends by itself has failed. */
async function endedEarly(running: Running): Promise<never> {
  throwFailed(await running.done)
  throw new SluiceError('QUICKSTART_FAILED', 'gateway and pipeline ended before they were stopped')
}

function isLoaded(progress: RunProgress): boolean {
  const applied = progress.pipelines.flatMap(({ status }) =>
    status.tables.filter(({ appliedCommit }) => appliedCommit !== undefined),
  )
  return applied.length >= shopTables.length
}

function rowsOf(progress: RunProgress): number {
  return progress.gateways
    .flatMap(({ status }) => status.tables)
    .reduce((sum, { snapshotRows }) => sum + snapshotRows, 0)
}

function freshnessOf(progress: RunProgress): QuickstartResult['freshness'] {
  return progress.pipelines.flatMap(({ status }) => status.freshness ?? [])[0]
}

function throwTableProblem(progress: RunProgress): void {
  const ours = progress.gateways.flatMap(({ status }) =>
    status.tables.flatMap(({ name, problem, state }) =>
      problem === undefined || state !== 'failed' ? [] : [{ table: name.table, problem }],
    ),
  )
  const theirs = progress.pipelines.flatMap(({ status }) =>
    status.tables.flatMap(({ destination, problem }) =>
      problem === undefined ? [] : [{ table: destination, problem }],
    ),
  )
  throwFailed({ failedTables: [...ours, ...theirs] })
}

function throwFailed(result: {
  readonly failedTables: readonly {
    readonly table: string
    readonly problem: { readonly code: string; readonly message: string; readonly remedy: string }
  }[]
}): void {
  const [failed] = result.failedTables
  if (failed === undefined) return
  const { code, message, remedy } = failed.problem
  throw new SluiceError('QUICKSTART_FAILED', `${failed.table}: ${code}: ${message}`, { remedy })
}

/** Applies what is left, then compares. undefined when the signal came. */
async function drainAndVerify(
  { signal, onStep, onTable }: QuickstartOptions,
  app: App,
  resources: Resources,
): Promise<VerifyReport | undefined> {
  if (signal.aborted) return undefined
  onStep('The workload has ended; applying what is left')
  try {
    throwFailed(await app.start(resources, { mode: 'once', signal }).done)
    if (signal.aborted) return undefined
    onStep('Comparing every cell of source and destination')
    const report = await app.verify({ tables: undefined, signal, onTable })
    return signal.aborted ? undefined : report
  } catch (error) {
    if (signal.aborted && hasCode(error, 'ABORTED')) return undefined
    throw error
  }
}

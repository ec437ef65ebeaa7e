/** `run`: gateways and pipelines beside each other, once or until stopped. */
import { asSluiceError, type SluiceError, troubleOf } from '../base/errors.ts'
import { sleep, systemTimers } from '../base/timers.ts'
import type { RunProgress, RunResult, Running } from '../cli/app.ts'
import type { GatewayResult, GatewayStatus } from '../gateway/gateway-status.ts'
import type { PipelineStatus, PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import { claimGateways } from './claim-gateways.ts'
import type { Context } from './context.ts'
import { failedTables } from './failed-tables.ts'
import { keepHouse, keepHouseOnce } from './housekeeping.ts'
import { encodeStatus, notRunning } from './live-status.ts'
import { applyAll } from './pipeline-runtime.ts'
import { RefreshRequests } from './refresh-requests.ts'
import { type Lane, openRuntime, type Runtime, type RuntimeDefinitions } from './runtime.ts'
import { answerVerifyRequests } from './verify-request.ts'

export interface RunOptions {
  readonly mode: 'once' | 'continuous'
  readonly signal: AbortSignal
  /** Tables to copy anew, by destination; `all` also survives a lost log of the source. */
  readonly refresh?: readonly string[] | 'all'
}

/** How often a running process speaks, listens and keeps house. */
const tickMs = 1000

const nothing: RunProgress = { phase: 'starting', gateways: [], pipelines: [] }

/** Begins at once; `done` settles when all of it has ended and is closed. */
export function startRun(
  context: Context,
  definitions: RuntimeDefinitions,
  options: RunOptions,
): Running {
  let progress = (): RunProgress => nothing
  const work = async (): Promise<RunResult> => {
    const claim = await claimGateways(context, definitions.gateways)
    const runtime = await openRuntime(context, definitions, {
      isSalvage: options.refresh === 'all',
    }).catch(async (error: unknown) => {
      await claim.release()
      throw error
    })
    claim.handOver()
    try {
      progress = () => progressOf(runtime)
      return await runAll(context, runtime, options)
    } finally {
      await runtime.close()
    }
  }
  return { progress: () => progress(), done: work() }
}

export function progressOf(runtime: Pick<Runtime, 'lanes'>): RunProgress {
  const gateways = runtime.lanes.map(({ gateway }) => ({
    name: gateway.definition.key,
    status: gateway.gateway.status(),
  }))
  const pipelines = runtime.lanes.flatMap((lane) =>
    lane.pipelines.map(({ definition, pipeline }) => ({
      name: definition.key,
      status: pipeline.status(),
    })),
  )
  const isCopying = gateways.some(({ status }) =>
    status.tables.some(({ state }) => state === 'pending' || state === 'snapshotting'),
  )
  // Of a server that was not reached, or that has none.
  const isEmpty = gateways.every(({ status }) => status.tables.length === 0)
  const phase = isEmpty ? 'looking for tables' : isCopying ? 'copying' : 'streaming'
  return { phase, gateways, pipelines }
}

async function runAll(context: Context, runtime: Runtime, options: RunOptions): Promise<RunResult> {
  const updates = await startUpdates(context, runtime)
  const ticking = new AbortController()
  const working = new Set(runtime.lanes)
  const refreshes = new RefreshRequests(context)
  const ticks = tick(context, { runtime, working, refreshes }, ticking.signal)
  const house =
    options.mode === 'continuous' ? keepHouse(context, runtime.lanes, ticking.signal) : undefined
  try {
    if (options.refresh === 'all') {
      for (const { gateway } of runtime.lanes) gateway.gateway.refresh('all')
    } else await refreshes.follow(runtime.lanes, options.refresh)
    const ended = await Promise.all(
      runtime.lanes.map(async (lane) => {
        const end = await endOfLane(context, lane, options)
        working.delete(lane)
        return end
      }),
    )
    const failures = ended.flatMap((end) => (end.kind === 'failed' ? [end] : []))
    const [first] = failures
    // With one gateway its error is the run's; of several, the others have done their work.
    if (first !== undefined && failures.length === ended.length) throw first.error
    if (options.mode === 'once' && first === undefined) {
      await keepHouseOnce(context, runtime.lanes, options.signal)
    }
    await updates.end(first?.error)
    return resultOf(runtime, ended, options.signal.aborted)
  } catch (error) {
    // Its own failure, on a full disk for one, must not hide why the work ended.
    await updates.end(error).catch((second: unknown) => notUpdated(context, second))
    throw error
  } finally {
    ticking.abort()
    await Promise.all([ticks, house])
    await speak(context, { runtime, working: new Set(), refreshes }).catch(() => undefined)
  }
}

/** All of them; the first that fails stops the others, and its error is thrown when all have ended. */
async function allOrStop<T>(
  works: readonly ((signal: AbortSignal) => Promise<T>)[],
  signal: AbortSignal,
): Promise<readonly T[]> {
  const stop = new AbortController()
  const both = AbortSignal.any([signal, stop.signal])
  let failure: { readonly error: unknown } | undefined
  const settled = await Promise.all(
    works.map(async (work) => {
      try {
        return { value: await work(both) }
      } catch (error) {
        failure ??= { error }
        stop.abort()
        return undefined
      }
    }),
  )
  if (failure !== undefined) throw failure.error
  return settled.flatMap((one) => (one === undefined ? [] : [one.value]))
}

type LaneEnd =
  | { readonly kind: 'done'; readonly result: GatewayResult }
  | { readonly kind: 'failed'; readonly gateway: string; readonly error: SluiceError }

/** One gateway that cannot go on does not stop the others. */
async function endOfLane(context: Context, lane: Lane, options: RunOptions): Promise<LaneEnd> {
  try {
    return { kind: 'done', result: await runLane(context, lane, options) }
  } catch (thrown) {
    const error = asSluiceError(thrown)
    const { key } = lane.gateway.definition
    context.log.error(`gateway ${key} stopped: ${error.message}`, { code: error.code })
    return { kind: 'failed', gateway: key, error }
  }
}

async function runLane(context: Context, lane: Lane, options: RunOptions): Promise<GatewayResult> {
  const { gateway } = lane.gateway
  if (options.mode === 'once') {
    const result = await gateway.run({ mode: 'once', signal: options.signal })
    if (!options.signal.aborted) await applyAll(lane.pipelines, options.signal)
    return result
  }
  return await runContinuously(context, lane, options.signal)
}

/** Streams and applies until `signal`; steps aside for each request to verify. */
async function runContinuously(
  context: Context,
  lane: Lane,
  signal: AbortSignal,
): Promise<GatewayResult> {
  for (;;) {
    const pause = new AbortController()
    const either = AbortSignal.any([signal, pause.signal])
    const watch = answerVerifyRequests(context, lane, {
      signal: either,
      pause: () => pause.abort(),
    })
    const [result] = await allOrStop<GatewayResult | undefined>(
      [
        (stop) => lane.gateway.gateway.run({ mode: 'continuous', signal: stop }),
        ...lane.pipelines.map(({ pipeline }) => async (stop: AbortSignal) => {
          await pipeline.run({ signal: stop })
          return undefined
        }),
      ],
      either,
    ).finally(() => pause.abort())
    const answer = await watch
    if (answer !== undefined) await answer(signal)
    if (signal.aborted || answer === undefined) {
      return result ?? { stagedCommit: undefined, failedTables: [] }
    }
  }
}

interface Work {
  readonly runtime: Runtime
  /** Lanes that have not ended; a request to another one would wait for ever. */
  readonly working: ReadonlySet<Lane>
  readonly refreshes: RefreshRequests
}

/** Speaks for `status`, listens to `refresh`, puts new tables on record; once a second. */
async function tick(context: Context, work: Work, signal: AbortSignal): Promise<void> {
  const { runtime, working, refreshes } = work
  for (;;) {
    try {
      await speak(context, work)
      for (const { pipelines } of runtime.lanes) {
        for (const pipeline of pipelines) await pipeline.recordDestinations()
      }
      // After the end of a run this only notices what it has put on record.
      await refreshes.follow(signal.aborted ? runtime.lanes : working)
    } catch (error) {
      notUpdated(context, error)
    }
    if (signal.aborted) return
    await sleep(systemTimers, tickMs, signal)
  }
}

function notUpdated(context: Context, error: unknown): void {
  const { code, message } = asSluiceError(error)
  context.log.warn(`the catalog was not updated: ${message}`, { code })
}

async function speak(context: Context, { runtime, working }: Work): Promise<void> {
  const atMs = context.clock.nowMs()
  for (const lane of runtime.lanes) {
    const processId = working.has(lane) ? process.pid : notRunning
    for (const { id, status } of wordsOf(lane)) {
      const json = encodeStatus(status)
      await context.store.saveLiveStatus({ ownerId: id, processId, atMs, json })
    }
  }
}

function wordsOf({
  gateway,
  pipelines,
}: Lane): readonly { readonly id: string; readonly status: GatewayStatus | PipelineStatus }[] {
  return [
    { id: gateway.definition.id, status: gateway.gateway.status() },
    ...pipelines.map(({ definition, pipeline }) => ({
      id: definition.id,
      status: pipeline.status(),
    })),
  ]
}

interface Updates {
  end(error: unknown): Promise<void>
}

async function startUpdates(context: Context, runtime: Runtime): Promise<Updates> {
  const ids: string[] = []
  for (const { gateway, pipelines } of runtime.lanes) {
    ids.push(await context.store.startUpdate(gateway.definition.id))
    for (const { definition } of pipelines) ids.push(await context.store.startUpdate(definition.id))
  }
  return {
    async end(error) {
      const failure = error === undefined ? undefined : asSluiceError(error)
      for (const id of ids) {
        if (failure === undefined) await context.store.endUpdate(id, 'COMPLETED')
        else
          await context.store.endUpdate(id, 'FAILED', {
            code: failure.code,
            message: failure.message,
          })
      }
    },
  }
}

function tablesOf({ pipelines }: Lane): readonly PipelineTableStatus[] {
  return pipelines.flatMap(({ pipeline }) => pipeline.status().tables)
}

function resultOf(runtime: Runtime, ended: readonly LaneEnd[], isStopped: boolean): RunResult {
  const results = ended.flatMap((end) => (end.kind === 'done' ? [end.result] : []))
  const stopped = ended.flatMap((end) => (end.kind === 'failed' ? [end] : []))
  const tables = runtime.lanes.flatMap(tablesOf)
  return {
    failedTables: [
      ...stopped.map(({ gateway, error }) => ({
        table: `gateway ${gateway}`,
        problem: troubleOf(error),
      })),
      ...runtime.lanes.flatMap((lane, place) => {
        const end = ended[place]
        const followed = end?.kind === 'done' ? end.result.failedTables : []
        return failedTables(followed, tablesOf(lane), { isStopped })
      }),
    ],
    rowsLoaded: tables.reduce((sum, table) => sum + table.rowsLoaded, 0),
    changesApplied: tables.reduce(
      (sum, { inserts, updates, deletes }) => sum + inserts + updates + deletes,
      0,
    ),
    stagedCommit: results
      .map(({ stagedCommit }) => stagedCommit)
      .findLast((commit) => commit !== undefined),
    tableCount: tables.filter(
      ({ problem, gone, version }) =>
        problem === undefined && gone === undefined && version !== undefined,
    ).length,
  }
}

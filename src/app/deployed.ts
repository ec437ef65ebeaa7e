/** `verify` and `refresh` of what is deployed, whether a process runs it or not. */
import { SluiceError } from '../base/errors.ts'
import type { DestinationRecord } from '../catalog/destination-record.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName, matchesTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type { RefreshOptions, Running, RunResult, VerifyOptions, VerifyReport } from '../cli/app.ts'
import type { GatewayStatus } from '../gateway/gateway-status.ts'
import type { Context } from './context.ts'
import { lastWords } from './live-status.ts'
import { startRun } from './run.ts'
import { deployedDefinitions, openRuntime } from './runtime.ts'
import { holdComparison } from './verify.ts'
import { requestVerify } from './verify-request.ts'

/** How often a request to a running process is looked at. */
const requestPollMs = 200

/** Destination names that the typed ones mean; throws CATALOG_UNKNOWN_TABLE for one that means none. */
async function destinationsMeant(
  context: Context,
  typed: readonly string[] | undefined,
): Promise<readonly string[] | undefined> {
  if (typed === undefined) return undefined
  const records = await context.store.destinations()
  return typed.flatMap((text) => {
    const meant = records.filter(({ name }) => matchesTableName(text, name))
    if (meant.length > 0) return meant.map(({ name }) => formatTableName(name))
    const known = records.map(({ name }) => formatTableName(name))
    throw new SluiceError(
      'CATALOG_UNKNOWN_TABLE',
      `no destination table is named "${text}"; there are ${known.join(', ') || 'none yet'}`,
    )
  })
}

/** `meant`: full names; undefined: all. */
async function recordsOf(
  context: Context,
  meant: readonly string[] | undefined,
): Promise<readonly DestinationRecord[]> {
  const records = await context.store.destinations()
  return records.filter(({ name }) => meant?.includes(formatTableName(name)) ?? true)
}

function belongsTo(
  pipelines: readonly PipelineDefinition[],
  { pipelineId }: DestinationRecord,
): boolean {
  return pipelines.some(({ id }) => id === pipelineId)
}

export async function verifyDeployed(
  context: Context,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const { gateways, pipelines } = await deployedDefinitions(context)
  const meant = await destinationsMeant(context, options.tables)
  const wanted = await recordsOf(context, meant)
  const tables: VerifyReport['tables'][number][] = []
  for (const gateway of gateways) {
    const own = pipelines.filter(({ gatewayId }) => gatewayId === gateway.id)
    if (meant !== undefined && !wanted.some((record) => belongsTo(own, record))) continue
    if (await isRunning(context, gateway)) {
      const verified = await requestVerify(context, gateway.id, {
        ...options,
        isRunning: async () => await isRunning(context, gateway),
      })
      if (verified === undefined) throw gatewayStopped(gateway.key)
      tables.push(...verified)
      continue
    }
    const runtime = await openRuntime(context, { gateways: [gateway], pipelines: own })
    try {
      for (const lane of runtime.lanes) {
        const comparison = await holdComparison(context, lane, options.signal)
        tables.push(...(await comparison.run(options)))
      }
    } finally {
      await runtime.close()
    }
  }
  return { tables }
}

export async function refreshDeployed(context: Context, options: RefreshOptions): Promise<Running> {
  const { gateways, pipelines } = await deployedDefinitions(context)
  const meant = await destinationsMeant(context, options.tables)
  const records = await recordsOf(context, meant)
  const asked: AskedGateway[] = []
  const idle: GatewayDefinition[] = []
  for (const gateway of gateways) {
    const own = pipelines.filter(({ gatewayId }) => gatewayId === gateway.id)
    const tables = records.filter((record) => belongsTo(own, record))
    if (tables.length === 0 && meant !== undefined) continue
    if (await isRunning(context, gateway)) asked.push({ gateway, tables })
    else idle.push(gateway)
  }
  const taken = askRunning(context, asked, options.signal)
  if (idle.length === 0) return taken
  const run = startRun(
    context,
    { gateways: idle, pipelines },
    { mode: 'once', signal: options.signal, refresh: meant ?? 'all' },
  )
  const done = Promise.all([run.done, taken.done]).then(([result]) => result)
  return { progress: () => run.progress(), done }
}

interface AskedGateway {
  readonly gateway: GatewayDefinition
  readonly tables: readonly DestinationRecord[]
}

async function isRunning(context: Context, { id }: GatewayDefinition): Promise<boolean> {
  const words = await lastWords<GatewayStatus>(context.store, id, context.clock.nowMs())
  return words?.isRunning === true
}

/** The running processes take the requests; the work is done for us when they have taken them all. */
function askRunning(
  context: Context,
  asked: readonly AskedGateway[],
  signal: AbortSignal,
): Running {
  const taken = async (): Promise<RunResult> => {
    for (const { tables } of asked)
      for (const { name } of tables) await context.store.requestRefresh(name)
    for (const { gateway, tables } of asked) {
      const names = new Set(tables.map(({ name }) => formatTableName(name)))
      while (!signal.aborted) {
        const left = (await context.store.refreshRequests()).map(formatTableName)
        if (!left.some((name) => names.has(name))) break
        if (!(await isRunning(context, gateway))) throw gatewayStopped(gateway.key)
        await new Promise((resolve) => setTimeout(resolve, requestPollMs))
      }
    }
    const nothingHere = { rowsLoaded: 0, changesApplied: 0, stagedCommit: undefined, tableCount: 0 }
    return { failedTables: [], ...nothingHere }
  }
  return {
    progress: () => ({ phase: 'asking the running gateway', gateways: [], pipelines: [] }),
    done: taken(),
  }
}

function gatewayStopped(key: string): SluiceError {
  return new SluiceError('GATEWAY_STOPPED', `gateway ${key} stopped before it had answered`)
}

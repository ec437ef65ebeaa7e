/** `verify` and `refresh` of what is deployed, whether a process runs it or not. */
import { SluiceError } from '../base/errors.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName, matchesTableName, parseTableName } from '../catalog/names.ts'
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

export async function verifyDeployed(
  context: Context,
  options: VerifyOptions,
): Promise<VerifyReport> {
  const { gateways, pipelines } = await deployedDefinitions(context)
  await destinationsMeant(context, options.tables)
  const tables: VerifyReport['tables'][number][] = []
  for (const gateway of gateways) {
    const words = await lastWords<GatewayStatus>(context.store, gateway.id, context.clock.nowMs())
    if (words?.isRunning === true) {
      tables.push(...(await requestVerify(context, gateway.id, options)))
      continue
    }
    const own = pipelines.filter(({ gatewayId }) => gatewayId === gateway.id)
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
  const definitions = await deployedDefinitions(context)
  const meant = await destinationsMeant(context, options.tables)
  if (await isAnyRunning(context, definitions.gateways))
    return await askRunning(context, meant, options)
  return startRun(context, definitions, {
    mode: 'once',
    signal: options.signal,
    refresh: meant ?? 'all',
  })
}

async function isAnyRunning(
  context: Context,
  gateways: readonly GatewayDefinition[],
): Promise<boolean> {
  for (const { id } of gateways) {
    const words = await lastWords<GatewayStatus>(context.store, id, context.clock.nowMs())
    if (words?.isRunning === true) return true
  }
  return false
}

/** The running process takes the requests; the work is done for us when it has taken them all. */
async function askRunning(
  context: Context,
  meant: readonly string[] | undefined,
  { signal }: RefreshOptions,
): Promise<Running> {
  const records = await context.store.destinations()
  const names = meant ?? records.map(({ name }) => formatTableName(name))
  for (const name of names) await context.store.requestRefresh(parseTableName(name))
  const taken = async (): Promise<RunResult> => {
    while (!signal.aborted && (await context.store.refreshRequests()).length > 0) {
      await new Promise((resolve) => setTimeout(resolve, requestPollMs))
    }
    const nothingHere = { rowsLoaded: 0, changesApplied: 0, stagedCommit: undefined, tableCount: 0 }
    return { failedTables: [], ...nothingHere }
  }
  return {
    progress: () => ({ phase: 'asking the running gateway', gateways: [], pipelines: [] }),
    done: taken(),
  }
}

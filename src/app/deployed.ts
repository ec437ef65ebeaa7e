/** `verify` and `refresh` of what is deployed, whether a process runs it or not. */
import { SluiceError } from '../base/errors.ts'
import type { DestinationRecord } from '../catalog/destination-record.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName, matchesTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type {
  RefreshOptions,
  Running,
  RunProgress,
  RunResult,
  VerifiedTable,
  VerifyOptions,
  VerifyReport,
} from '../cli/app.ts'
import { askRunning, type AskedGateway, gatewayStopped, isRunning } from './ask-running.ts'
import type { PipelineStatus } from '../pipeline/pipeline-status.ts'
import type { Context } from './context.ts'
import { leftBy } from './left-destination.ts'
import { lastWords } from './live-status.ts'
import { startRun } from './run.ts'
import { deployedDefinitions, openRuntime, type RuntimeDefinitions } from './runtime.ts'
import { holdComparison, isNamedBy } from './verify.ts'
import { requestVerify } from './verify-request.ts'

/** Destination names that the typed ones mean; throws CATALOG_UNKNOWN_TABLE for one that means none. */
async function destinationsMeant(
  context: Context,
  typed: readonly string[] | undefined,
): Promise<readonly string[] | undefined> {
  if (typed === undefined) return undefined
  const records = await context.store.destinations()
  const meant = typed.map(async (text) => {
    const meant = records.filter(({ name }) => matchesTableName(text, name))
    if (meant.length > 0) return meant.map(({ name }) => formatTableName(name))
    if (await isFirstCopy(context, text)) {
      throw new SluiceError(
        'CATALOG_TABLE_BEING_COPIED',
        `${text} is being copied for the first time already`,
      )
    }
    const known = records.map(({ name }) => formatTableName(name))
    throw new SluiceError(
      'CATALOG_UNKNOWN_TABLE',
      `no destination table is named "${text}"; there are ${known.join(', ') || 'none yet'}`,
    )
  })
  return (await Promise.all(meant)).flat()
}

/** A running process is about to fill a destination that `text` means, and never did before. */
async function isFirstCopy(context: Context, text: string): Promise<boolean> {
  for (const { id } of await context.store.pipelines()) {
    const words = await lastWords<PipelineStatus>(context.store, id, context.clock.nowMs())
    if (words?.isRunning !== true) continue
    const waiting = words.status.tables.filter(({ problem }) => problem === undefined)
    if (waiting.some(({ destination }) => isNamedBy(text, destination))) return true
  }
  return false
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
  const meant = await destinationsMeant(context, options.tables)
  const { gateways, pipelines, withdrawn } = await declaredDefinitions(context)
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
      if (verified === undefined) throw gatewayStopped(gateway)
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
  const known = new Set(tables.map(({ destination }) => destination))
  const others = await skippedTables(context, { pipelines, withdrawn, known })
  const skipped = others.filter(({ destination }) => meant?.includes(destination) ?? true)
  for (const table of skipped) options.onTable?.(table)
  return { tables: [...tables, ...skipped] }
}

/**
 * What is deployed, without the pipelines that their file does not have any more: a gateway that
 * runs for those too would begin to follow their tables again.
 */
async function declaredDefinitions(
  context: Context,
): Promise<RuntimeDefinitions & { readonly withdrawn: readonly PipelineDefinition[] }> {
  const { gateways, pipelines } = await deployedDefinitions(context)
  const ids = await context.store.withdrawnPipelines()
  const isWithdrawn = ({ id }: PipelineDefinition): boolean => ids.has(id)
  return {
    gateways,
    pipelines: pipelines.filter((pipeline) => !isWithdrawn(pipeline)),
    withdrawn: pipelines.filter(isWithdrawn),
  }
}

/** Destinations that nobody keeps up to date: `known` are those that are. */
async function skippedTables(
  context: Context,
  of: {
    readonly pipelines: readonly PipelineDefinition[]
    readonly withdrawn: readonly PipelineDefinition[]
    readonly known: ReadonlySet<string>
  },
): Promise<readonly VerifiedTable[]> {
  const keys = new Map(of.withdrawn.map(({ id, key }) => [id, key]))
  const nothing = { sourceRows: 0n, destinationRows: 0n, missing: 0n, extra: 0n, different: 0n }
  const at = { isEqual: false, differences: [], version: undefined, position: undefined }
  const skipped = (await context.store.destinations()).map(async (record) => {
    const destination = formatTableName(record.name)
    const table = { destination, source: record.source, ...nothing, ...at }
    const withdrawn = keys.get(record.pipelineId)
    if (withdrawn !== undefined) return { ...table, withdrawn }
    if (of.known.has(destination) || !belongsTo(of.pipelines, record)) return undefined
    const reading = context.deltaTable(record.location).snapshot()
    const isThere = await reading.then(
      (snapshot) => snapshot !== undefined,
      () => true,
    )
    return isThere ? { ...table, isLeft: true } : undefined
  })
  return (await Promise.all(skipped)).filter((table) => table !== undefined)
}

export async function refreshDeployed(context: Context, options: RefreshOptions): Promise<Running> {
  const meant = await destinationsMeant(context, options.tables)
  // One that is asked for by name is copied anew whether its file still has it or not.
  const { gateways, pipelines } = await (meant === undefined
    ? declaredDefinitions(context)
    : deployedDefinitions(context))
  const records = await recordsOf(context, meant)
  if (meant !== undefined) await expectLedTo(context, records)
  const asked: AskedGateway[] = []
  const idle: GatewayDefinition[] = []
  for (const gateway of gateways) {
    const own = pipelines.filter(({ gatewayId }) => gatewayId === gateway.id)
    const tables = records.filter((record) => belongsTo(own, record))
    if (tables.length === 0 && meant !== undefined) continue
    if (await isRunning(context, gateway)) asked.push({ gateway, pipelines: own, tables })
    else idle.push(gateway)
  }
  const there =
    asked.length === 0
      ? undefined
      : askRunning(context, asked, { signal: options.signal, isAll: meant === undefined })
  if (idle.length === 0 && there !== undefined) return there
  const run = startRun(
    context,
    { gateways: idle, pipelines },
    { mode: 'once', signal: options.signal, refresh: meant ?? 'all' },
  )
  const here = run.done.then((result) => withGone(run, result, meant ?? []))
  if (there === undefined) return { progress: () => run.progress(), done: here }
  return {
    progress: () => bothProgress(run.progress(), there.progress()),
    done: Promise.all([here, there.done]).then(([one, other]) => bothResults(one, other)),
  }
}

/** Throws PIPELINE_DESTINATION_LEFT: a new copy of its table would go elsewhere. */
async function expectLedTo(context: Context, records: readonly DestinationRecord[]): Promise<void> {
  for (const record of records) {
    const { store, clock } = context
    const words = await lastWords<PipelineStatus>(store, record.pipelineId, clock.nowMs())
    const left = leftBy(record, words?.status)
    if (left !== undefined) throw left
  }
}

/** Tables that were named and are gone at the source were not copied. */
function withGone(run: Running, result: RunResult, named: readonly string[]): RunResult {
  const gone = run
    .progress()
    .pipelines.flatMap(({ status }) => status.tables)
    .flatMap(({ destination, gone: problem }) =>
      problem !== undefined && named.includes(destination) ? [{ table: destination, problem }] : [],
    )
  return { ...result, failedTables: [...result.failedTables, ...gone] }
}

function bothProgress(one: RunProgress, other: RunProgress): RunProgress {
  return {
    phase: one.phase,
    gateways: [...one.gateways, ...other.gateways],
    pipelines: [...one.pipelines, ...other.pipelines],
  }
}

function bothResults(one: RunResult, other: RunResult): RunResult {
  return {
    ...one,
    failedTables: [...one.failedTables, ...other.failedTables],
    rowsLoaded: one.rowsLoaded + other.rowsLoaded,
    tableCount: one.tableCount + other.tableCount,
    ...(other.goesOnElsewhere === true ? { goesOnElsewhere: true } : {}),
  }
}

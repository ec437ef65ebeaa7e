/** `status`: where every table stands, from the catalog, staging, the Delta logs and last words. */
import { type ErrorDefinition, asSluiceError, hasCode, troubleOf } from '../base/errors.ts'
import { errorTable } from '../base/error-codes.ts'
import type { DestinationRecord } from '../catalog/destination-record.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type {
  HeldBack,
  StatusGateway,
  StatusPipeline,
  StatusReport,
  StatusTable,
} from '../cli/app.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { applicationId } from '../destination/destination-state.ts'
import type { GatewayStatus, TableStatus } from '../gateway/gateway-status.ts'
import type { PipelineStatus, PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import type { CommitNumber } from '../staging/manifest.ts'
import { NewestWork } from '../staging/newest-work.ts'
import { tellLog } from '../staging/read-log.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Context } from './context.ts'
import { HeldBackRows } from './held-back.ts'
import { lastStagedBefore } from './last-staged.ts'
import { leftBy } from './left-destination.ts'
import { lastWords, type LastWords } from './live-status.ts'
import { spelledError, spelledOut, spelledProblem } from './remedy.ts'

interface GatewayView {
  readonly shown: StatusGateway
  readonly words: LastWords<GatewayStatus> | undefined
  readonly log: StagedLog
}

/** undefined when it can not be read. */
type StagedLog =
  | {
      readonly storage: ObjectStorage
      readonly first: CommitNumber
      readonly work: NewestWork
    }
  | undefined

export async function statusReport(context: Context): Promise<StatusReport> {
  const [gateways, pipelines, destinations] = await Promise.all([
    context.store.gateways(),
    context.store.pipelines(),
    context.store.destinations(),
  ])
  const views = new Map<string, GatewayView>()
  for (const gateway of gateways) views.set(gateway.id, await gatewayView(context, gateway))
  const shown: StatusPipeline[] = []
  const held = new HeldBackRows(context)
  try {
    for (const pipeline of pipelines) {
      const own = destinations.filter(({ pipelineId }) => pipelineId === pipeline.id)
      const gateway = views.get(pipeline.gatewayId)
      shown.push(await pipelineView(context, pipeline, { own, gateway, held }))
    }
  } finally {
    await held.close()
  }
  return {
    dataFolder: context.dataFolder,
    gateways: [...views.values()].map((view) => view.shown),
    pipelines: shown,
  }
}

async function gatewayView(context: Context, gateway: GatewayDefinition): Promise<GatewayView> {
  const words = await lastWords<GatewayStatus>(context.store, gateway.id, context.clock.nowMs())
  const [last] = await context.store.updates(gateway.id, 1)
  const storage = createLocalStorage((await context.folders()).volume(gateway.staging))
  let staged: StagedLog
  let problem: StatusGateway['problem']
  try {
    const work = new NewestWork()
    const { base } = await tellLog(storage, {
      begin: () => work.begin(),
      resume: (checkpoint) => work.restore(checkpoint.work, checkpoint.commit),
      take: (manifest) => work.take(manifest),
    })
    staged = { storage, first: base.first, work }
  } catch (error) {
    problem = troubleOf(spelledError(context, error))
  }
  const failed = last?.state === 'FAILED' && words?.isRunning !== true ? last.error : undefined
  if (words?.isRunning === true && words.status.stall !== undefined) {
    problem ??= spelledProblem(context, words.status.stall)
  }
  if (failed !== undefined)
    problem ??= { ...failed, remedy: spelledOut(context, remedyOf(failed.code)) }
  const shown: StatusGateway = {
    name: gateway.key,
    isRunning: words?.isRunning === true,
    stagedCommit: staged?.work.newest,
    lagBytes: words?.status.lagBytes,
    retainedBytes: words?.status.retainedBytes,
    budgetBytes: words?.status.budgetBytes,
    secondsToLoss: words?.status.secondsToLoss,
    roundTripMs: words?.status.roundTripMs,
    atMs: words?.atMs,
    problem,
    leftSlots: words?.status.leftSlots ?? [],
  }
  return { shown, words, log: staged }
}

/** As the table has it: the record of an update keeps code and message only. */
function remedyOf(code: string): string {
  const known: Readonly<Record<string, ErrorDefinition>> = errorTable
  return known[code]?.remedy ?? errorTable.INTERNAL_ERROR.remedy
}

async function pipelineView(
  context: Context,
  pipeline: PipelineDefinition,
  known: {
    readonly own: readonly DestinationRecord[]
    readonly gateway: GatewayView | undefined
    readonly held: HeldBackRows
  },
): Promise<StatusPipeline> {
  const words = await lastWords<PipelineStatus>(context.store, pipeline.id, context.clock.nowMs())
  const live = { gateway: known.gateway?.words, pipeline: words }
  const log = known.gateway?.log
  const recorded = await Promise.all(
    known.own.map(
      async (record) => await tableView(context, record, { live, log, held: known.held }),
    ),
  )
  const loaded = recorded.filter((table) => table !== undefined)
  const ids = new Set(known.own.map(({ tableId }) => tableId))
  const waiting = (live.gateway?.status.tables ?? [])
    .filter(({ tableId, name }) => !ids.has(tableId) && isSelected(pipeline, name))
    // Gone before anything of it was loaded.
    .filter(({ problem }) => problem?.code !== 'GATEWAY_TABLE_GONE')
    .filter((table) => !known.own.some((record) => isSought(table, record)))
    .map((table): StatusTable => {
      const applied = words?.status.tables.find(({ tableId }) => tableId === table.tableId)
      const problem = table.problem ?? applied?.problem
      const source = `${table.name.schema}.${table.name.table}`
      return {
        destination: applied?.destination ?? `(not loaded) ${source}`,
        source,
        state:
          problem !== undefined
            ? 'failed'
            : live.gateway?.isRunning === true
              ? table.state
              : 'stopped',
        copiedShare: copiedShare(table),
        rows: undefined,
        version: undefined,
        appliedCommit: undefined,
        stagedCommit: log?.work.of(table.tableId)?.commit,
        appliedCommitAtMs: undefined,
        problem: problem && spelledProblem(context, problem, applied?.destination),
      }
    })
  return {
    name: pipeline.key,
    gateway: known.gateway?.shown.name ?? pipeline.gatewayId,
    isRunning: words?.isRunning === true,
    freshness: words?.status.freshness,
    tables: [...loaded, ...waiting],
  }
}

/** What is not found is the table that the record is of, and that is told of there. */
function isSought({ name, problem }: TableStatus, { source }: DestinationRecord): boolean {
  if (problem?.code !== 'GATEWAY_TABLE_NOT_FOUND') return false
  return `.${source}`.endsWith(`.${name.schema}.${name.table}`)
}

/** A gateway may read for other pipelines too. */
function isSelected(
  { objects }: PipelineDefinition,
  name: { readonly schema: string; readonly table: string },
): boolean {
  return objects.some(
    (object) =>
      object.sourceSchema === name.schema &&
      (object.kind === 'schema' || object.sourceTable === name.table),
  )
}

/** undefined: it failed before it was ever loaded, and is gone by now. */
async function tableView(
  context: Context,
  record: DestinationRecord,
  known: {
    readonly live: {
      readonly gateway: LastWords<GatewayStatus> | undefined
      readonly pipeline: LastWords<PipelineStatus> | undefined
    }
    readonly log: StagedLog
    readonly held: HeldBackRows
  },
): Promise<StatusTable | undefined> {
  const destination = formatTableName(record.name)
  const { gateway, pipeline } = known.live
  const source = gateway?.status.tables.find(({ tableId }) => tableId === record.tableId)
  const applied = pipeline?.status.tables.find((table) => table.destination === destination)
  let snapshot: DeltaSnapshot | undefined
  let heldBack: HeldBack | undefined
  const left = leftBy(record, pipeline?.status)
  const gone = applied?.gone === undefined ? undefined : 'gone'
  const over = left === undefined ? gone : 'left'
  let problem =
    (left && troubleOf(left)) ??
    applied?.gone ??
    source?.problem ??
    loadProblem(source, applied, gateway?.isRunning === true)
  try {
    snapshot = await context.deltaTable(record.location).snapshot()
    if (snapshot !== undefined) heldBack = await known.held.of(record, snapshot)
  } catch (error) {
    problem ??= troubleOf(asSluiceError(error))
  }
  const isKnown = pipeline === undefined || applied !== undefined || source !== undefined
  const isNothing = left !== undefined || (!isKnown && problem === undefined)
  if (isNothing && snapshot === undefined) return undefined
  if (over !== undefined && problem !== undefined) {
    problem = { ...problem, remedy: `${problem.remedy} Its folder is ${record.location}.` }
  }
  const running = gateway?.isRunning === true ? (source?.state ?? 'pending') : 'stopped'
  const appliedCommit = snapshot?.txnVersions.get(applicationId(record))
  return {
    destination,
    source: record.source,
    state: over ?? (problem === undefined ? running : 'failed'),
    copiedShare: copiedShare(source),
    rows: snapshot === undefined ? undefined : liveRows(snapshot),
    version: snapshot?.version,
    appliedCommit,
    stagedCommit: known.log?.work.of(record.tableId)?.commit,
    appliedCommitAtMs: await workTime(known.log, record.tableId, appliedCommit),
    heldBack,
    problem: problem && spelledProblem(context, problem, destination),
  }
}

/** When what a destination has last was committed at the source, ms; undefined: it can not be told. */
async function workTime(
  log: StagedLog,
  tableId: string,
  applied: CommitNumber | undefined,
): Promise<number | undefined> {
  if (log === undefined || applied === undefined) return undefined
  const newest = log.work.of(tableId)
  if (newest !== undefined && newest.commit <= applied) return newest.atMs
  const upTo = Math.min(applied, log.work.newest ?? -1)
  try {
    return (await lastStagedBefore(log.storage, { tableId, upTo, first: log.first }))?.atMs
  } catch (error) {
    // A purge takes the log away from below it.
    if (hasCode(error, 'STAGING_LOG_GAP')) return undefined
    throw error
  }
}

/** That a table waits for its copy is no problem while the copy is made. */
function loadProblem(
  source: TableStatus | undefined,
  applied: PipelineTableStatus | undefined,
  isRunning: boolean,
): StatusTable['problem'] {
  const problem = applied?.problem
  // Of a running gateway also one that is copied and about to be loaded.
  const isCopying = source !== undefined && (isRunning || source.state !== 'streaming')
  return isCopying && problem?.code === 'PIPELINE_TABLE_GAP' ? undefined : problem
}

function copiedShare(table: TableStatus | undefined): number | undefined {
  const { copied } = table ?? {}
  return copied === undefined ? undefined : copied.doneBytes / copied.totalBytes
}

/** Physical rows of the files minus what deletion vectors mark; undefined when a file does not say. */
function liveRows(snapshot: DeltaSnapshot): bigint | undefined {
  let rows = 0n
  for (const { stats, deletionVector } of snapshot.files.values()) {
    const match = /"numRecords"\s*:\s*(\d+)/.exec(stats ?? '')
    if (match?.[1] === undefined) return undefined
    rows += BigInt(match[1]) - BigInt(deletionVector?.cardinality ?? 0)
  }
  return rows
}

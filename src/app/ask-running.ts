/** `refresh` of tables whose gateway another process runs: asks it, and waits until it is done. */
import { SluiceError, troubleOf } from '../base/errors.ts'
import { sleep, systemTimers } from '../base/timers.ts'
import type { DestinationRecord } from '../catalog/destination-record.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import type { Problem, RunProgress, Running, RunResult } from '../cli/app.ts'
import { configurationKeys } from '../destination/destination-state.ts'
import { tableGone } from '../gateway/begin-copy.ts'
import type { GatewayStatus, TableStatus } from '../gateway/gateway-status.ts'
import type { PipelineStatus, PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import type { Context } from './context.ts'
import { leftBy } from './left-destination.ts'
import { type LastWords, lastWords } from './live-status.ts'

/** How often the running process is looked at. */
const pollMs = 300

export interface AskedGateway {
  readonly gateway: GatewayDefinition
  /** Those that read from it. */
  readonly pipelines: readonly PipelineDefinition[]
  readonly tables: readonly DestinationRecord[]
}

/** What both sides of a running gateway said last, one moment after the other. */
interface Words {
  readonly gateway: LastWords<GatewayStatus> | undefined
  readonly pipelines: ReadonlyMap<string, LastWords<PipelineStatus>>
}

interface AskedTable {
  readonly record: DestinationRecord
  /** The copy it had when it was asked for. */
  readonly copyBefore: string
  /** When the running process had taken the request, ms. */
  takenAtMs: number | undefined
  /** Newest staged commit at a moment at which the new copy was staged whole. */
  copiedAt: number | undefined
  end: TableEnd | undefined
}

type TableEnd =
  | { readonly kind: 'loaded'; readonly rows: number }
  | { readonly kind: 'failed'; readonly problem: Problem }

export async function isRunning(context: Context, { id }: GatewayDefinition): Promise<boolean> {
  const words = await lastWords<GatewayStatus>(context.store, id, context.clock.nowMs())
  return words?.isRunning === true
}

export function gatewayStopped({ key }: GatewayDefinition): SluiceError {
  return new SluiceError('GATEWAY_STOPPED', `gateway ${key} stopped before it had answered`)
}

/** Begins at once. With `isAll` destinations that nothing leads to are passed over. */
export function askRunning(
  context: Context,
  asked: readonly AskedGateway[],
  options: { readonly signal: AbortSignal; readonly isAll: boolean },
): Running {
  const waits = asked.map((one) => new RefreshWait(context, one))
  const work = async (): Promise<RunResult> => {
    for (const wait of waits) await wait.ask()
    while (!options.signal.aborted) {
      for (const wait of waits) await wait.look()
      if (waits.every(({ isOver }) => isOver)) break
      await sleep(systemTimers, pollMs, options.signal)
    }
    return resultOf(context, waits, options.isAll)
  }
  return {
    progress: () => ({
      phase: 'refreshing in the running process',
      gateways: waits.flatMap((wait) => wait.progress().gateways),
      pipelines: waits.flatMap((wait) => wait.progress().pipelines),
    }),
    done: work(),
  }
}

class RefreshWait {
  readonly #context: Context
  readonly #asked: AskedGateway
  #tables: readonly AskedTable[] = []
  #words: Words = { gateway: undefined, pipelines: new Map() }

  constructor(context: Context, asked: AskedGateway) {
    this.#context = context
    this.#asked = asked
  }

  get tables(): readonly AskedTable[] {
    return this.#tables
  }

  get isOver(): boolean {
    return this.#tables.every(({ end }) => end !== undefined)
  }

  async ask(): Promise<void> {
    this.#tables = await Promise.all(
      this.#asked.tables.map(async (record) => ({
        record,
        copyBefore: await this.#copyOf(record),
        takenAtMs: undefined,
        copiedAt: undefined,
        end: undefined,
      })),
    )
    for (const { record } of this.#tables) await this.#context.store.requestRefresh(record.name)
  }

  async look(): Promise<void> {
    if (this.isOver) return
    const { store, clock } = this.#context
    const left = new Set((await store.refreshRequests()).map(formatTableName))
    for (const table of this.#tables) {
      if (!left.has(formatTableName(table.record.name))) table.takenAtMs ??= clock.nowMs()
    }
    await this.#listen()
    for (const table of this.#tables) {
      if (table.end === undefined) table.end = await this.#endOf(table)
    }
    if (!this.isOver && this.#words.gateway?.isRunning !== true) {
      throw gatewayStopped(this.#asked.gateway)
    }
  }

  progress(): Pick<RunProgress, 'gateways' | 'pipelines'> {
    const shown = this.#tables.filter((table) => this.#isFresh(table))
    const ids = new Set(shown.map(({ record }) => record.tableId))
    const names = new Map(shown.map((table) => [formatTableName(table.record.name), table]))
    const { gateway, pipelines } = this.#words
    if (gateway === undefined) return { gateways: [], pipelines: [] }
    const tables = gateway.status.tables.filter(({ tableId }) => ids.has(tableId))
    return {
      gateways: [{ name: this.#asked.gateway.key, status: { ...gateway.status, tables } }],
      pipelines: this.#asked.pipelines.flatMap(({ id, key }) => {
        const status = pipelines.get(id)?.status
        if (status === undefined) return []
        const own = status.tables.flatMap((table) => {
          const asked = names.get(table.destination)
          return asked === undefined ? [] : [shownTable(table, asked)]
        })
        return [{ name: key, status: { ...status, tables: own } }]
      }),
    }
  }

  /** The pipelines first: what they say they passed, the gateway had staged before. */
  async #listen(): Promise<void> {
    const { store, clock } = this.#context
    const pipelines = new Map<string, LastWords<PipelineStatus>>()
    for (const { id } of this.#asked.pipelines) {
      const words = await lastWords<PipelineStatus>(store, id, clock.nowMs())
      if (words !== undefined) pipelines.set(id, words)
    }
    const { id } = this.#asked.gateway
    this.#words = { gateway: await lastWords<GatewayStatus>(store, id, clock.nowMs()), pipelines }
  }

  /** The running process has spoken since it had taken the request. */
  #isFresh({ takenAtMs }: AskedTable): boolean {
    return takenAtMs !== undefined && (this.#words.gateway?.atMs ?? 0) > takenAtMs
  }

  async #endOf(table: AskedTable): Promise<TableEnd | undefined> {
    const { gateway, pipelines } = this.#words
    if (gateway === undefined || !this.#isFresh(table)) return undefined
    const { record } = table
    const followed = gateway.status.tables.find(({ tableId }) => tableId === record.tableId)
    const applied = pipelines.get(record.pipelineId)
    const shown = applied?.status.tables.find(
      ({ destination }) => destination === formatTableName(record.name),
    )
    const left = leftBy(record, applied?.status)
    const failure = left === undefined ? failureOf(record, followed) : troubleOf(left)
    if (failure !== undefined) return { kind: 'failed', problem: failure }
    if (followed?.state !== 'streaming') {
      table.copiedAt = undefined
      return undefined
    }
    table.copiedAt ??= gateway.status.stagedCommit
    if ((await this.#copyOf(record)) !== table.copyBefore) {
      return { kind: 'loaded', rows: followed.snapshotRows }
    }
    // It was looked at again with the whole copy in staging, and that is what came of it.
    const hasPassed = (applied?.status.passedCommit ?? -1) >= (table.copiedAt ?? Infinity)
    const problem = hasPassed ? shown?.problem : undefined
    return problem === undefined ? undefined : { kind: 'failed', problem }
  }

  /** Tells the copy that the destination was loaded from, from every other one; '' before the first. */
  async #copyOf({ location }: DestinationRecord): Promise<string> {
    const snapshot = await this.#context.deltaTable(location).snapshot()
    const { tableId, snapshotId, snapshotPoint } = configurationKeys
    return [tableId, snapshotId, snapshotPoint]
      .map((key) => snapshot?.metadata.configuration[key] ?? '')
      .join(' ')
      .trim()
  }
}

/** Why the gateway does not copy the table. */
function failureOf(
  { source }: DestinationRecord,
  followed: TableStatus | undefined,
): Problem | undefined {
  if (followed === undefined) return troubleOf(tableGone(source))
  return followed.state === 'failed' ? followed.problem : undefined
}

/** The old copy is still in the destination, and that it waits is no problem. */
function shownTable(table: PipelineTableStatus, { end }: AskedTable): PipelineTableStatus {
  if (end !== undefined) return table
  const { problem: _, ...rest } = table
  return { ...rest, appliedCommit: undefined }
}

/** Who asks for all tables does not ask for these. */
const passedOver: ReadonlySet<string> = new Set(['GATEWAY_TABLE_GONE', 'PIPELINE_DESTINATION_LEFT'])

function resultOf(context: Context, waits: readonly RefreshWait[], isAll: boolean): RunResult {
  const ended = waits.flatMap(({ tables }) => tables)
  const failed = ended.flatMap(({ record, end }) =>
    end?.kind === 'failed' ? [{ table: formatTableName(record.name), problem: end.problem }] : [],
  )
  const isPassedOver = ({ problem }: (typeof failed)[number]): boolean =>
    isAll && passedOver.has(problem.code)
  for (const { table, problem } of failed.filter(isPassedOver)) {
    context.log.warn(`not refreshed: ${problem.message}`, { table, code: problem.code })
  }
  const loaded = ended.flatMap(({ end }) => (end?.kind === 'loaded' ? [end.rows] : []))
  const isLeft = ended.some(({ end }) => end === undefined)
  return {
    failedTables: failed.filter((one) => !isPassedOver(one)),
    rowsLoaded: loaded.reduce((sum, rows) => sum + rows, 0),
    changesApplied: 0,
    stagedCommit: undefined,
    tableCount: loaded.length,
    ...(isLeft ? { goesOnElsewhere: true } : {}),
  }
}

/**
 * What has to go from time to time, so that a data folder stays as large as what it is for: staged
 * data beyond its retention, files of tables that no version needs, leftovers of killed processes.
 * Nothing here may fail a run; what could not be done is said and tried again.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { asSluiceError } from '../base/errors.ts'
import { sleep, systemTimers } from '../base/timers.ts'
import { formatTableName } from '../catalog/names.ts'
import { vacuum } from '../delta/vacuum.ts'
import { configurationKeys } from '../destination/destination-state.ts'
import type { Pipeline } from '../pipeline/pipeline-status.ts'
import { isPurgeDue, purge } from '../staging/retention.ts'
import { removeStaleTemporaries } from '../storage/durable-file.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import type { Context } from './context.ts'
import { readableTables } from './readable-tables.ts'
import { isAlive } from './live-status.ts'

/** A gateway and its pipelines, as far as keeping house goes. */
export interface KeptLane {
  readonly gateway: {
    readonly definition: Pick<GatewayDefinition, 'key' | 'staging'>
    readonly storage: ObjectStorage
  }
  readonly pipelines: readonly {
    readonly definition: { readonly id: string }
    readonly pipeline: Pick<Pipeline, 'status'>
  }[]
}

const hourMs = 3_600_000
/** Nobody writes to one file for so long without a word. */
const staleTemporaryMs = 24 * hourMs
/** How often it is looked whether the pipelines have begun. */
const waitMs = 1000

/** At once, then every hour, until `signal`. Never rejects. */
export async function keepHouse(
  context: Context,
  lanes: readonly KeptLane[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await keepHouseOnce(context, lanes, signal)
    await sleep(systemTimers, hourMs, signal)
  }
}

/** Ends early, and leaves the rest to the next time, when `signal` comes. Never rejects. */
export async function keepHouseOnce(
  context: Context,
  lanes: readonly KeptLane[],
  signal: AbortSignal,
): Promise<void> {
  const step = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    if (signal.aborted) return
    try {
      await work()
    } catch (error) {
      const { code, message, remedy } = asSluiceError(error)
      context.log.warn(`${what}: ${message}`, { code, remedy })
    }
  }
  await step('old engine files stay', () => removeDeadEngineFolders(context.dataFolder))
  for (const { gateway } of lanes) {
    await step(`unfinished files of ${gateway.definition.key} stay`, async () => {
      const folder = (await context.folders()).volume(gateway.definition.staging)
      await removeStaleTemporaries(folder, staleTemporaryMs, context.clock.nowMs())
    })
  }
  await step('the tables were not cleaned up', () => vacuumTables(context, lanes, { step, signal }))
  for (const lane of lanes) {
    await step(`the staging volume of ${lane.gateway.definition.key} was not purged`, () =>
      purgeVolume(context, lane, signal),
    )
  }
}

/** Spill folders are named after the process that uses them. */
async function removeDeadEngineFolders(dataFolder: string): Promise<void> {
  const folder = join(dataFolder, 'tmp')
  for (const name of await readdir(folder).catch(() => [])) {
    const processId = Number(/^engine-(\d+)$/.exec(name)?.[1] ?? Number.NaN)
    if (Number.isNaN(processId) || isAlive(processId)) continue
    await rm(join(folder, name), { recursive: true, force: true })
  }
}

async function vacuumTables(
  context: Context,
  lanes: readonly KeptLane[],
  {
    step,
    signal,
  }: {
    readonly step: (what: string, work: () => Promise<unknown>) => Promise<void>
    readonly signal: AbortSignal
  },
): Promise<void> {
  const { clock, failpoints, log } = context
  const own = new Set(
    lanes.flatMap(({ pipelines }) => pipelines.map(({ definition }) => definition.id)),
  )
  for (const { name, location, pipelineId } of await readableTables(context)) {
    if (!own.has(pipelineId)) continue
    const table = context.deltaTable(location)
    await step(`${formatTableName(name)} was not cleaned up`, async () => {
      const owner = (await table.snapshot())?.metadata.configuration[configurationKeys.pipelineId]
      // Somebody may have put another table there: that one is not ours to touch.
      if (owner !== pipelineId) return
      await removeStaleTemporaries(location, staleTemporaryMs, clock.nowMs())
      const removed = await vacuum({ table, nowMs: clock.nowMs(), failpoints, signal })
      if (removed.removedFiles === 0) return
      const { removedFiles: files, removedBytes: bytes } = removed
      log.info('table cleaned up', { table: formatTableName(name), files, bytes })
    })
  }
}

async function purgeVolume(context: Context, lane: KeptLane, signal: AbortSignal): Promise<void> {
  const { clock, log, failpoints } = context
  const { storage } = lane.gateway
  if (!(await isPurgeDue(storage, clock.nowMs()))) return
  // What ages out is to be compared with what is applied, and that is known after a first look.
  while (lane.pipelines.some(({ pipeline }) => pipeline.status().updates === 0)) {
    if (signal.aborted) return
    await sleep(systemTimers, waitMs, signal)
  }
  const appliedCommits = new Map(
    lane.pipelines.map(({ definition, pipeline }) => [definition.id, appliedBy(pipeline)] as const),
  )
  await purge({ storage, appliedCommits, clock, log, failpoints })
}

/** A table that has nothing to do is up to date however old its last commit is. */
function appliedBy(pipeline: Pick<Pipeline, 'status'>): (tableId: string) => number | undefined {
  const { tables, passedCommit } = pipeline.status()
  const failed = new Map(
    tables
      .filter(({ problem }) => problem !== undefined)
      .map(({ tableId, appliedCommit }) => [tableId, appliedCommit]),
  )
  return (tableId) => (failed.has(tableId) ? failed.get(tableId) : passedCommit)
}

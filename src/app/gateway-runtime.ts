/** One gateway with everything it stands on: source, staging volume, lease on both. */
import { randomUUID } from 'node:crypto'
import type { ConnectionAddress } from '../catalog/connection.ts'
import type { GatewayDefinition } from '../catalog/gateway-definition.ts'
import { formatTableName } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import { pipelineSettings, settingValue } from '../catalog/pipeline-settings.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import { destinationState, digestPoint } from '../destination/destination-state.ts'
import { createGateway } from '../gateway/gateway.ts'
import type { RefreshableGateway } from '../gateway/gateway-options.ts'
import type { TableSelection } from '../gateway/select-tables.ts'
import type { GatewaySettings } from '../gateway/settings.ts'
import type { Log } from '../observe/log.ts'
import { createNews, type News } from '../pipeline/news.ts'
import { createPostgresSource, type PostgresSource } from '../source/postgres/postgres-source.ts'
import { mapConcurrent } from '../staging/map-concurrent.ts'
import { type AppliedTable, salvageLog } from '../staging/salvage-log.ts'
import { spoolFolder } from '../staging/layout.ts'
import { openStagingLog, type StagingLog } from '../staging/staging-log.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Context } from './context.ts'
import { isAppendOnly } from './append-only.ts'
import { assertNotRunning } from './claim-gateways.ts'
import { gatewayIdentity, type GatewayIdentity } from './gateway-identity.ts'

export interface GatewayRuntime {
  readonly definition: GatewayDefinition
  readonly source: PostgresSource
  readonly storage: ObjectStorage
  readonly gateway: RefreshableGateway
  /** Told after every staged commit. */
  readonly news: News
  close(): Promise<void>
}

/** What the objects of the pipelines that read from a gateway ask of it. */
export function selectionOf(pipelines: readonly PipelineDefinition[]): TableSelection {
  const objects = pipelines.flatMap((pipeline) => pipeline.objects)
  return {
    schemas: [...new Set(objects.filter((o) => o.kind === 'schema').map((o) => o.sourceSchema))],
    tables: objects.flatMap((object) =>
      object.kind === 'table' ? [{ schema: object.sourceSchema, table: object.sourceTable }] : [],
    ),
    isAppendOnly: (table) => isAppendOnly(pipelines, table),
  }
}

export function openSource(
  context: Context,
  address: ConnectionAddress,
  gateway: {
    readonly definition: GatewayDefinition
    readonly identity: GatewayIdentity
    /** The slot of `identity` is not the one that the first run will make. */
    readonly isSlotUnnamed?: boolean
    /** Of the gateway's own, for transactions in progress. */
    readonly spoolFolder?: string | undefined
  },
): PostgresSource {
  const { definition, identity, isSlotUnnamed = false, spoolFolder } = gateway
  const revealed = Object.entries(address.secrets).map(([name, secret]) => [name, secret.reveal()])
  const options = {
    ...address.options,
    ...(Object.fromEntries(revealed) as Record<string, string>),
    ...(definition.sourceCatalog === undefined ? {} : { database: definition.sourceCatalog }),
  }
  const maxBytes = settingValue(definition.settings, pipelineSettings.transactionSpool)
  const spool =
    maxBytes > 0 && spoolFolder !== undefined ? { folder: spoolFolder, maxBytes } : undefined
  return createPostgresSource({
    options,
    ...(spool === undefined ? {} : { spool }),
    isFailover: settingValue(definition.settings, pipelineSettings.slotFailover),
    heartbeatIntervalMs: settingValue(definition.settings, pipelineSettings.heartbeatInterval),
    snapshotChunkBytes: settingValue(definition.settings, pipelineSettings.snapshotChunkBytes),
    slotName: identity.slot,
    publicationName: identity.publication,
    isSlotChosen: identity.isChosen === true,
    isSlotUnnamed,
    log: context.log.child({ gateway: definition.key }),
    clock: context.clock,
    failpoints: context.failpoints,
  })
}

async function salvage(
  context: Context,
  storage: ObjectStorage,
  { log, pipelines }: { readonly log: Log; readonly pipelines: readonly PipelineDefinition[] },
): Promise<void> {
  const { clock, failpoints } = context
  const applied = await appliedTables(context, pipelines)
  const begin = { writer: randomUUID(), nowMs: clock.nowMs(), failpoints }
  const first = await salvageLog({ storage, ...begin, applied })
  if (first === undefined) return
  log.warn('the staging log was damaged or is not the one that was applied: it begins afresh', {
    volume: storage.url,
    commit: first,
  })
}

/** How far the destinations of the pipelines are, in the log they were filled from. */
async function appliedTables(
  context: Context,
  pipelines: readonly PipelineDefinition[],
): Promise<readonly AppliedTable[]> {
  const ids = new Set(pipelines.map(({ id }) => id))
  const records = (await context.store.destinations()).filter(({ pipelineId }) =>
    ids.has(pipelineId),
  )
  const found = await mapConcurrent(records.length, 16, async (n) => {
    const record = records[n]
    if (record === undefined) return []
    const { pipelineId, tableId, location, name } = record
    try {
      const snapshot = await context.deltaTable(location).snapshot()
      const identity = { pipelineId, tableId, name: formatTableName(name) }
      const { applied, snapshotId, snapshotPoint } = destinationState(snapshot, identity)
      if (applied === undefined) return []
      const isCopy = (point: string): boolean => digestPoint(point) === snapshotPoint
      return [{ tableId, commit: applied, snapshotId: snapshotId ?? -1, isCopy }]
    } catch {
      // The pipeline says what is wrong with it.
      return []
    }
  })
  return found.flat()
}

function snapshotSettings({ settings }: GatewayDefinition): Partial<GatewaySettings> {
  const { snapshotWorkers, snapshotMaxAge, snapshotBytesPerSecond } = pipelineSettings
  return {
    snapshotWorkers: settingValue(settings, snapshotWorkers),
    snapshotMaxAgeMs: settingValue(settings, snapshotMaxAge),
    snapshotBytesPerSecond: settingValue(settings, snapshotBytesPerSecond),
  }
}

export async function openGatewayRuntime(
  context: Context,
  definition: GatewayDefinition,
  wiring: {
    readonly address: ConnectionAddress
    readonly pipelines: readonly PipelineDefinition[]
    /** Every table is copied anew, so a damaged staging log may be begun afresh. */
    readonly isSalvage?: boolean
  },
): Promise<GatewayRuntime> {
  await assertNotRunning(context, definition)
  const { isSalvage = false } = wiring
  const storage = createLocalStorage((await context.folders()).volume(definition.staging))
  const identity = await gatewayIdentity(storage, definition, { isSalvage })
  const source = openSource(context, wiring.address, {
    definition,
    identity,
    spoolFolder: storage.localPath(spoolFolder),
  })
  const { clock, failpoints, checkpointCommits } = context
  const log = context.log.child({ gateway: definition.key })
  let staging: StagingLog
  try {
    if (isSalvage) await salvage(context, storage, { log, pipelines: wiring.pipelines })
    staging = await openStagingLog({
      storage,
      writer: randomUUID(),
      createEncoder: createParquetEncoder,
      clock,
      log,
      failpoints,
      ...(checkpointCommits === undefined ? {} : { checkpointCommits }),
    })
  } catch (error) {
    await source.close()
    throw error
  }
  const news = createNews()
  const gateway = createGateway({
    source,
    staging,
    tables: selectionOf(wiring.pipelines),
    settings: snapshotSettings(definition),
    log,
    clock,
    failpoints,
    onStaged: () => news.notify(),
  })
  return {
    definition,
    source,
    storage,
    gateway,
    news,
    close: async () => {
      await staging.close()
      await source.close()
    },
  }
}

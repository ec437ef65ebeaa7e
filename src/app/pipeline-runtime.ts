/** One pipeline wired to a staging volume and the lake; and the catalog's record of its tables. */
import { foldName, nameProblem, parseTableName, type TableName } from '../catalog/names.ts'
import type { PipelineDefinition, PipelineObject } from '../catalog/pipeline-definition.ts'
import { pipelineSettings, settingValue } from '../catalog/pipeline-settings.ts'
import type { OtherPipelines } from '../destination/destination-state.ts'
import type { Engine } from '../engine/duckdb.ts'
import type { News } from '../pipeline/news.ts'
import { createPipeline } from '../pipeline/pipeline.ts'
import type { Pipeline, PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import { formatSourceName, type TableSelection } from '../pipeline/table-selection.ts'
import { createStagingReader } from '../staging/staging-reader.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Context } from './context.ts'
import { productVersion } from './version.ts'

export interface PipelineRuntime {
  readonly definition: PipelineDefinition
  readonly pipeline: Pipeline
  /** Puts tables that were loaded, or failed to be, since the last call on record. */
  recordDestinations(): Promise<void>
}

export function selectionFrom(object: PipelineObject): TableSelection {
  const { configuration, sourceCatalog } = object
  return {
    sourceSchema: object.sourceSchema,
    destinationCatalog: object.destinationCatalog,
    destinationSchema: object.destinationSchema,
    scdType: configuration.scdType,
    ...(sourceCatalog === undefined ? {} : { sourceCatalog }),
    ...(object.kind === 'table' ? { sourceTable: object.sourceTable } : {}),
    ...(object.kind === 'table' && object.destinationTable !== undefined
      ? { destinationTable: object.destinationTable }
      : {}),
    ...(configuration.includeColumns === undefined
      ? {}
      : { includeColumns: configuration.includeColumns }),
    ...(configuration.excludeColumns === undefined
      ? {}
      : { excludeColumns: configuration.excludeColumns }),
  }
}

/** Not ours: what belongs to somebody else, and what nothing was tried for yet. */
function isOurs({ version, problem }: PipelineTableStatus): boolean {
  if (problem === undefined) return version !== undefined
  return !notOurs.has(problem.code)
}

const notOurs: ReadonlySet<string> = new Set([
  'CONFIG_INVALID_NAME',
  'DESTINATION_FOREIGN_TABLE',
  'DESTINATION_TABLE_TAKEN',
  'PIPELINE_NAME_COLLISION',
])

export async function createPipelineRuntime(
  context: Context,
  definition: PipelineDefinition,
  wiring: { readonly storage: ObjectStorage; readonly engine: Engine; readonly news?: News },
): Promise<PipelineRuntime> {
  const folders = await context.folders()
  const reader = createStagingReader({ storage: wiring.storage })
  const locationOf = (name: TableName): string => folders.table(name)
  const pipeline = createPipeline({
    pipelineId: definition.id,
    others: await otherPipelines(context),
    staging: reader,
    lake: (name) => ({ storage: context.lakeStorage(locationOf(name)), root: '' }),
    engine: wiring.engine,
    tables: definition.objects.map(selectionFrom),
    unfitValues: settingValue(definition.settings, pipelineSettings.unfitValues),
    names: { fold: foldName, problem: nameProblem },
    clock: context.clock,
    log: context.log.child({ pipeline: definition.key }),
    failpoints: context.failpoints,
    productVersion,
    ...(wiring.news === undefined ? {} : { news: wiring.news }),
  })
  /** A table that was dropped and made again has another id. */
  const recorded = new Map<string, string>()
  return {
    definition,
    pipeline,
    async recordDestinations() {
      const unknown = pipeline
        .status()
        .tables.filter(
          (table) => isOurs(table) && recorded.get(table.destination) !== table.tableId,
        )
      if (unknown.length === 0) return
      for (const { destination, tableId, source, scdType = 'SCD_TYPE_1' } of unknown) {
        const name = parseTableName(destination)
        await context.store.saveDestination({
          name,
          pipelineId: definition.id,
          tableId,
          source: source === undefined ? tableId : formatSourceName(source),
          scdType,
          location: locationOf(name),
        })
        recorded.set(destination, tableId)
      }
    },
  }
}

/** As deployed now: nobody is removed while its gateway runs. */
async function otherPipelines({ store }: Context): Promise<OtherPipelines> {
  const keys = new Map((await store.pipelines()).map(({ id, key }) => [id, key]))
  const releases = await store.releases()
  return {
    keyOf: (id) => keys.get(id),
    isReleased: (id, name) =>
      releases.some(
        ({ pipelineId, destination = name }) => pipelineId === id && destination === name,
      ),
  }
}

/** Updates until everything staged is applied. */
export async function applyAll(
  pipelines: readonly PipelineRuntime[],
  signal: AbortSignal,
): Promise<void> {
  for (const runtime of pipelines) {
    while (!signal.aborted) {
      const { caughtUp } = await runtime.pipeline.update({ signal })
      if (caughtUp) break
    }
    await runtime.recordDestinations()
  }
}

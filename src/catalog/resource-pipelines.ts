/** `resources.pipelines` of a resource file: gateways and ingestion pipelines, not yet linked. */
import type { ConfigMap } from './config-map.ts'
import type { Place } from './config-problem.ts'
import type { VolumeName } from './names.ts'
import type { SettingTexts } from './pipeline-settings.ts'
import { readObjects, type ObjectDraft } from './resource-objects.ts'
import { readSettings } from './resource-settings.ts'
import { readSourceNames, type SourceNamesDraft } from './resource-source-names.ts'
import { readName } from './resource-storage.ts'
import type { Supported } from './supported.ts'

export interface GatewayDraft {
  readonly kind: 'gateway'
  readonly key: string
  readonly name: string
  readonly place: Place
  readonly connectionName: string | undefined
  readonly connectionPlace: Place
  readonly staging: VolumeName | undefined
  readonly settings: SettingTexts
}

export interface PipelineDraft {
  readonly kind: 'pipeline'
  readonly key: string
  readonly name: string
  readonly place: Place
  readonly continuous: boolean
  /** Text of `ingestion_gateway_id`, as written. */
  readonly gatewayReference: string | undefined
  readonly gatewayPlace: Place
  readonly objects: readonly ObjectDraft[]
  /** Slots and publications that the file names. */
  readonly sourceNames: readonly SourceNamesDraft[]
  readonly settings: SettingTexts
}

const pipelineKeys = {
  used: [
    'name',
    'catalog',
    'schema',
    'target',
    'configuration',
    'continuous',
    'gateway_definition',
    'ingestion_definition',
  ],
  ignored: [
    'allow_duplicate_names',
    'budget_policy_id',
    'channel',
    'clusters',
    'development',
    'edition',
    'event_log',
    'lifecycle',
    'notifications',
    'permissions',
    'photon',
    'pipeline_type',
    'restart_window',
    'run_as',
    'serverless',
    'tags',
    'usage_policy_id',
  ],
  unsupported: {
    libraries: 'Only gateways and ingestion pipelines run here.',
    trigger: 'Start "sluice run FILE --once" from a scheduler, or set "continuous: true".',
    storage: 'Set storage_root of the catalog or schema.',
    filters: '',
  },
}

const gatewayKeys = {
  used: [
    'connection_name',
    'gateway_storage_catalog',
    'gateway_storage_schema',
    'gateway_storage_name',
  ],
  unsupported: {
    connection_id: 'Use connection_name.',
    connection_parameters: 'Set source_catalog in the objects of the pipeline.',
  },
}

const ingestionKeys = {
  used: ['ingestion_gateway_id', 'objects', 'source_configurations', 'table_configuration'],
  ignored: ['source_type'],
  unsupported: {
    connection_name: 'Declare a gateway and refer to it with ingestion_gateway_id.',
    connector_type: 'Declare a gateway and refer to it with ingestion_gateway_id.',
    data_staging_options: 'Set gateway_storage_* of the gateway.',
    full_refresh_window: 'Run "sluice refresh TABLE --full" when it suits.',
    ingest_from_uc_foreign_catalog: '',
  },
}

const resourceKeyPattern = /^[A-Za-z_][A-Za-z0-9_-]*$/

export function readPipelines(
  section: ConfigMap,
  supported: Supported,
): readonly (GatewayDraft | PipelineDraft)[] {
  return section.maps().flatMap(([key, map]) => {
    map.checkKeys(pipelineKeys)
    if (!resourceKeyPattern.test(key)) {
      map.context.error('CONFIG_INVALID_NAME', map.place, {
        message: `${JSON.stringify(key)} cannot be the key of a resource`,
        remedy: 'Use letters, digits, _ and -; begin with a letter.',
      })
    }
    const isGateway = map.has('gateway_definition')
    if (isGateway === map.has('ingestion_definition')) {
      map.context.error('CONFIG_MISSING_KEY', map.place, {
        message: `${map.place.path} needs exactly one of "gateway_definition" and "ingestion_definition"`,
        remedy: isGateway ? 'Split it into two pipelines.' : 'Add one of the two.',
      })
      return []
    }
    const draft = isGateway ? readGateway(key, map) : readIngestion(key, map, supported)
    return draft === undefined ? [] : [draft]
  })
}

function readGateway(key: string, map: ConfigMap): GatewayDraft | undefined {
  map.boolean('continuous')
  const name = map.text('name') ?? key
  const definition = map.map('gateway_definition')
  if (definition === undefined) return undefined
  definition.checkKeys(gatewayKeys)
  for (const required of gatewayKeys.used.slice(0, 3)) definition.require(required)
  const catalog = readName(definition, 'gateway_storage_catalog', undefined)
  const schema = readName(definition, 'gateway_storage_schema', undefined)
  const volume = readName(definition, 'gateway_storage_name', key)
  return {
    kind: 'gateway',
    key,
    name,
    place: map.place,
    connectionName: definition.text('connection_name'),
    connectionPlace: definition.placeOfKey('connection_name'),
    staging:
      catalog === undefined || schema === undefined || volume === undefined
        ? undefined
        : { catalog, schema, volume },
    settings: readSettings(map, 'gateway'),
  }
}

function readIngestion(
  key: string,
  map: ConfigMap,
  supported: Supported,
): PipelineDraft | undefined {
  const continuous = map.boolean('continuous') ?? false
  const name = map.text('name') ?? key
  const definition = map.map('ingestion_definition')
  if (definition === undefined) return undefined
  definition.checkKeys(ingestionKeys)
  const isIntegrated = definition.has('connection_name')
  if (!isIntegrated) definition.require('ingestion_gateway_id')
  definition.require('objects')
  return {
    kind: 'pipeline',
    key,
    name,
    place: map.place,
    continuous,
    gatewayReference: definition.rawText('ingestion_gateway_id'),
    gatewayPlace: definition.placeOfKey('ingestion_gateway_id'),
    sourceNames: readSourceNames(definition),
    objects: readObjects(definition, {
      defaultCatalog: readName(map, 'catalog', undefined),
      defaultSchema: readName(map, map.has('schema') ? 'schema' : 'target', undefined),
      supported,
    }),
    settings: readSettings(map, 'pipeline'),
  }
}

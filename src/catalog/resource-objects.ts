/** `ingestion_definition.objects`: which tables go where, and how they are kept. */
import type { ConfigMap } from './config-map.ts'
import type { Place } from './config-problem.ts'
import { foldName, nameProblem } from './names.ts'
import { scdTypes, type PipelineObject, type TableConfiguration } from './pipeline-definition.ts'
import { readName } from './resource-storage.ts'
import { laterTableSettings, parsedTableSettings, type Supported } from './supported.ts'

export interface ObjectDraft {
  readonly object: PipelineObject
  readonly place: Place
  readonly sourceCatalogPlace: Place
  readonly destinationPlace: Place
}

interface ObjectDefaults {
  readonly defaultCatalog: string | undefined
  readonly defaultSchema: string | undefined
  readonly supported: Supported
}

type Settings = Partial<TableConfiguration>

const schemaKeys = [
  'source_catalog',
  'source_schema',
  'destination_catalog',
  'destination_schema',
  'table_configuration',
]
const tableKeys = [...schemaKeys, 'source_table', 'destination_table']

export function readObjects(
  definition: ConfigMap,
  defaults: ObjectDefaults,
): readonly ObjectDraft[] {
  const base = readSettings(definition, defaults.supported)
  const items = definition.list('objects')
  if (items === undefined) return []
  if (items.length === 0) {
    const place = definition.placeOfKey('objects')
    definition.context.error('CONFIG_INVALID_VALUE', place, {
      message: `${place.path} is an empty list: the pipeline would do nothing`,
      remedy: 'Add a "schema" or a "table" object.',
    })
  }
  return items.flatMap((item) => {
    item.checkKeys({ used: ['schema', 'table'], unsupported: { report: '' } })
    if (item.has('report')) return []
    if (item.has('schema') === item.has('table')) {
      item.context.error('CONFIG_MISSING_KEY', item.place, {
        message: `${item.place.path} needs exactly one of "schema" and "table"`,
        remedy: 'Write one object per list item.',
      })
      return []
    }
    const kind = item.has('schema') ? 'schema' : 'table'
    const map = item.map(kind)
    const draft = map === undefined ? undefined : readObject(kind, map, { ...defaults, base })
    return draft === undefined ? [] : [draft]
  })
}

function readObject(
  kind: 'schema' | 'table',
  map: ConfigMap,
  defaults: ObjectDefaults & { readonly base: Settings },
): ObjectDraft | undefined {
  map.checkKeys({
    used: kind === 'schema' ? schemaKeys : tableKeys,
    unsupported: { connector_options: '' },
  })
  map.require('source_schema')
  if (kind === 'table') map.require('source_table')
  const configuration = mergeSettings(defaults.base, readSettings(map, defaults.supported))
  if (defaults.defaultCatalog === undefined) map.require('destination_catalog')
  if (defaults.defaultSchema === undefined) map.require('destination_schema')
  const destinationCatalog = readName(map, 'destination_catalog', defaults.defaultCatalog)
  const destinationSchema = readName(map, 'destination_schema', defaults.defaultSchema)
  const sourceCatalog = map.text('source_catalog')
  const sourceSchema = map.text('source_schema')
  const sourceTable = kind === 'table' ? map.text('source_table') : undefined
  const destinationTable = kind === 'table' ? readDestinationTable(map, sourceTable) : undefined
  if (destinationCatalog === undefined || destinationSchema === undefined) return undefined
  if (sourceSchema === undefined) return undefined
  const common = {
    sourceCatalog,
    sourceSchema,
    destinationCatalog,
    destinationSchema,
    configuration,
  }
  const places = {
    place: map.place,
    sourceCatalogPlace: map.placeOfKey('source_catalog'),
    destinationPlace: map.has('destination_table')
      ? map.placeOfKey('destination_table')
      : map.place,
  }
  if (kind === 'schema') return { object: { kind, ...common }, ...places }
  if (sourceTable === undefined) return undefined
  return { object: { kind, ...common, sourceTable, destinationTable }, ...places }
}

/** The folded `destination_table`; checks the source's name when there is none. */
function readDestinationTable(map: ConfigMap, sourceTable: string | undefined): string | undefined {
  if (map.has('destination_table')) return readName(map, 'destination_table', undefined)
  const problem = sourceTable === undefined ? undefined : nameProblem(sourceTable)
  if (sourceTable === undefined || problem === undefined) return undefined
  map.context.error('CONFIG_INVALID_NAME', map.placeOfKey('source_table'), {
    message: `${map.pathOf('source_table')} ${map.shown('source_table', sourceTable)} ${problem}, so it cannot name the destination table`,
    remedy: `Add "destination_table: ${foldName(sourceTable).replaceAll(/[^\p{L}\p{N}_]+/gu, '_')}".`,
  })
  return undefined
}

const laterRemedies: Readonly<Record<string, string>> = {
  primary_keys:
    'Remove it: rows are told apart as the source tells them apart. Where that is not wanted, run at the source: ALTER TABLE … REPLICA IDENTITY USING INDEX …; (a unique index of NOT NULL columns), or give the table a primary key.',
}

function readSettings(parent: ConfigMap, supported: Supported): Settings {
  const map = parent.map('table_configuration')
  if (map === undefined) return {}
  const used = parsedTableSettings.filter((key) => supported.tableSettings.includes(key))
  const later = [...parsedTableSettings, ...laterTableSettings].filter(
    (key) => !supported.tableSettings.includes(key),
  )
  map.checkKeys({
    used,
    unsupported: Object.fromEntries(later.map((key) => [key, laterRemedies[key] ?? ''])),
  })
  const settings: { -readonly [key in keyof Settings]: Settings[key] } = {}
  const refused = scdTypes.filter((type) => !supported.scdTypes.includes(type))
  const scdType = map.oneOf('scd_type', supported.scdTypes, refused)
  if (scdType !== undefined) settings.scdType = scdType
  const lists = [
    ['include_columns', 'includeColumns'],
    ['exclude_columns', 'excludeColumns'],
    ['primary_keys', 'primaryKeys'],
  ] as const
  for (const [key, field] of lists) {
    const texts = used.includes(key) ? map.texts(key) : undefined
    if (texts !== undefined) settings[field] = texts
  }
  if (map.has('include_columns') && map.has('exclude_columns')) {
    map.context.error('CONFIG_INVALID_VALUE', map.placeOfKey('exclude_columns'), {
      message: `${map.place.path} has both "include_columns" and "exclude_columns"`,
      remedy: 'Keep one of the two.',
    })
  }
  return settings
}

/** `over` wins; a choice of columns replaces the other choice as well. */
function mergeSettings(base: Settings, over: Settings): TableConfiguration {
  const choosesColumns = over.includeColumns !== undefined || over.excludeColumns !== undefined
  const { includeColumns, excludeColumns, ...rest } = base
  return {
    scdType: 'SCD_TYPE_1',
    ...rest,
    ...(choosesColumns || includeColumns === undefined ? {} : { includeColumns }),
    ...(choosesColumns || excludeColumns === undefined ? {} : { excludeColumns }),
    ...over,
  }
}

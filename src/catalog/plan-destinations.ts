/** Which source table goes to which destination table: the objects of a pipeline over the tables there are. */
import { SluiceError } from '../base/errors.ts'
import { foldName, formatTableName, nameProblem, type TableName } from './names.ts'
import { nearest } from './nearest.ts'
import type {
  PipelineDefinition,
  PipelineObject,
  TableConfiguration,
} from './pipeline-definition.ts'

/** What has to be known of a source table. */
export interface NamedTable {
  readonly name: { readonly catalog?: string; readonly schema: string; readonly table: string }
}

export interface PlannedDestination<T extends NamedTable> {
  readonly source: T
  readonly destination: TableName
  readonly configuration: TableConfiguration
}

export interface DestinationPlan<T extends NamedTable> {
  /** Ascending by destination. */
  readonly destinations: readonly PlannedDestination<T>[]
  /** Tables left out, each with its reason; the others go on. */
  readonly problems: readonly SluiceError[]
}

/** Schemas of the source a pipeline looks at, without repetition. */
export function sourceSchemas(pipelines: readonly PipelineDefinition[]): readonly string[] {
  return [...new Set(pipelines.flatMap(({ objects }) => objects.map((o) => o.sourceSchema)))]
}

/**
 * `tables` are all tables of the source's schemas. A table object wins over a schema object that
 * gives the same source table the same destination.
 */
export function planDestinations<T extends NamedTable>(
  pipeline: PipelineDefinition,
  tables: readonly T[],
): DestinationPlan<T> {
  const problems: SluiceError[] = []
  const planned = new Map<string, PlannedDestination<T>>()
  const ordered = [
    ...pipeline.objects.filter(({ kind }) => kind === 'table'),
    ...pipeline.objects.filter(({ kind }) => kind === 'schema'),
  ]
  for (const object of ordered) {
    const matching = tables.filter((table) => isMatch(object, table))
    if (matching.length === 0) problems.push(notFound(object, tables))
    for (const source of matching) {
      const destination = destinationOf(object, source)
      const problem = nameProblem(destination.table)
      const key = formatTableName(destination)
      const before = planned.get(key)
      if (problem !== undefined) problems.push(badName(source, problem))
      else if (before === undefined) {
        planned.set(key, { source, destination, configuration: object.configuration })
      } else if (before.source !== source) problems.push(clash(key, before.source, source))
    }
  }
  const destinations = [...planned.entries()]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, destination]) => destination)
  return { destinations, problems }
}

function isMatch(object: PipelineObject, table: NamedTable): boolean {
  return (
    object.sourceSchema === table.name.schema &&
    (table.name.catalog === undefined ||
      object.sourceCatalog === undefined ||
      object.sourceCatalog === table.name.catalog) &&
    (object.kind === 'schema' || object.sourceTable === table.name.table)
  )
}

function destinationOf(object: PipelineObject, source: NamedTable): TableName {
  const renamed = object.kind === 'table' ? object.destinationTable : undefined
  return {
    catalog: object.destinationCatalog,
    schema: object.destinationSchema,
    table: renamed ?? foldName(source.name.table),
  }
}

function notFound(object: PipelineObject, tables: readonly NamedTable[]): SluiceError {
  if (object.kind === 'schema') {
    const schemas = [...new Set(tables.map(({ name }) => name.schema))]
    const guess = nearest(object.sourceSchema, schemas)
    return new SluiceError(
      'CONFIG_TABLE_NOT_FOUND',
      `the source schema "${object.sourceSchema}" has no tables or is not visible to the user of the connection`,
      guess === undefined ? {} : { remedy: `Did you mean "${guess}"?` },
    )
  }
  const names = tables
    .filter(({ name }) => name.schema === object.sourceSchema)
    .map(({ name }) => name.table)
  const guess = nearest(object.sourceTable, names)
  return new SluiceError(
    'CONFIG_TABLE_NOT_FOUND',
    `the source table "${object.sourceSchema}.${object.sourceTable}" does not exist or is not visible to the user of the connection`,
    guess === undefined ? {} : { remedy: `Did you mean "${guess}"?` },
  )
}

function badName(source: NamedTable, problem: string): SluiceError {
  const { schema, table } = source.name
  return new SluiceError(
    'CONFIG_INVALID_NAME',
    `the source table name ${JSON.stringify(table)} of schema "${schema}" ${problem}, so it cannot name the destination table`,
    { remedy: `Add a "table" object for it with a destination_table.` },
  )
}

function clash(destination: string, first: NamedTable, second: NamedTable): SluiceError {
  const name = ({ name: { schema, table } }: NamedTable): string => `${schema}.${table}`
  return new SluiceError(
    'CONFIG_DUPLICATE_DESTINATION',
    `${name(second)} would write ${destination}, which ${name(first)} writes already`,
    { remedy: `Add a "table" object for ${name(second)} with another destination_table.` },
  )
}

/** Which source tables a pipeline ingests, and where each one goes. Pure. */
import { SluiceError } from '../base/errors.ts'
import type { ScdType } from '../catalog/pipeline-definition.ts'
import { groupBy } from '../base/group-by.ts'
import type { UnfitPolicy } from '../destination/destination-columns.ts'
import { quarantineName } from '../destination/quarantine.ts'
import type { SourceTableName } from '../source/table-schema.ts'

/** One `schema` object (no `sourceTable`: all tables of the schema) or one `table` object. */
export interface TableSelection {
  readonly sourceCatalog?: string
  readonly sourceSchema: string
  readonly sourceTable?: string
  readonly destinationCatalog: string
  readonly destinationSchema: string
  /** Only with `sourceTable`; default: the source table's name. */
  readonly destinationTable?: string
  /** Key columns always come along. */
  readonly includeColumns?: readonly string[]
  readonly excludeColumns?: readonly string[]
  readonly scdType: ScdType
}

/** Three-level name of a destination table. */
export interface DestinationName {
  readonly catalog: string
  readonly schema: string
  readonly table: string
}

export function formatDestinationName(name: DestinationName): string {
  return `${name.catalog}.${name.schema}.${name.table}`
}

export function formatSourceName({ catalog, schema, table }: SourceTableName): string {
  return [catalog, schema, table].filter((part) => part !== undefined).join('.')
}

/** A staged table and one place it goes to. */
export interface TableRoute {
  readonly tableId: string
  readonly source: SourceTableName
  readonly destination: DestinationName
  readonly selection: TableSelection
}

export interface Routing {
  readonly routes: readonly TableRoute[]
  /** Routes that may not be followed, with the reason; the others go on. */
  readonly refused: readonly { readonly route: TableRoute; readonly error: SluiceError }[]
}

/** Throws PIPELINE_NAME_COLLISION for what no table needs to be known for. */
export function checkSelections(selections: readonly TableSelection[]): void {
  const seen = new Map<string, string>()
  for (const selection of selections) {
    if (selection.sourceTable === undefined) continue
    const destination = formatDestinationName(
      destinationOf(selection, { schema: selection.sourceSchema, table: selection.sourceTable }),
    )
    const source = `${selection.sourceCatalog ?? ''}.${selection.sourceSchema}.${selection.sourceTable}`
    const other = seen.get(destination.toLowerCase())
    if (other !== undefined) throw collision(destination, [other, source])
    seen.set(destination.toLowerCase(), source)
  }
}

/** What names of destination tables are like. */
export interface NameRules {
  /** The spelling that is kept: names that are told apart nowhere become equal. */
  readonly fold: (name: string) => string
  /** Why a text can not be a name, as the end of a sentence; undefined when it can. */
  readonly problem: (name: string) => string | undefined
  /** The name that is taken beside every table, for its rows that are held back. */
  readonly beside?: (name: string) => string
}

export const anyName: NameRules = { fold: (name) => name, problem: () => undefined }

/** With the place that a quarantine takes, where the policy has one. */
export function rulesUnder(policy: UnfitPolicy | undefined, rules: NameRules): NameRules {
  return policy === 'quarantine' ? { ...rules, beside: quarantineName } : rules
}

export interface RoutedTable {
  readonly tableId: string
  readonly name: SourceTableName
  /** The source has it no more. */
  readonly isGone?: boolean
}

/** What each staged table's selections make of it. Order: as `tables`, then as `selections`. */
export function routeTables(
  tables: readonly RoutedTable[],
  selections: readonly TableSelection[],
  rules: NameRules = anyName,
): Routing {
  const wanted = tables.flatMap(({ tableId, name }) =>
    selectionsOf(name, selections, rules).map((selection): TableRoute => ({
      tableId,
      source: name,
      destination: folded(destinationOf(selection, name), rules),
      selection,
    })),
  )
  const goneIds = new Set(tables.filter(({ isGone }) => isGone).map(({ tableId }) => tableId))
  const isGone = ({ tableId, selection }: TableRoute): boolean =>
    goneIds.has(tableId) && !isNamed(selection)
  const unnamed = wanted.flatMap((route) => {
    const problem = rules.problem(route.destination.table)
    return problem === undefined ? [] : [{ route, error: unusableName(route, problem) }]
  })
  const unnamedRoutes = new Set(unnamed.map(({ route }) => route))
  const named = wanted.filter((route) => !unnamedRoutes.has(route))
  const routes = named.filter((route) => !isGone(route))
  const byDestination = groupBy(routes, placeOf)
  const owners = ownersBeside(routes, rules)
  // What is gone is no reason to refuse anything; of several at one place at most one was loaded.
  const gone = named.filter(
    (route) => isGone(route) && !byDestination.has(placeOf(route)) && !owners.has(placeOf(route)),
  )
  const placedElsewhere = new Set(
    routes.filter(({ selection }) => isNamed(selection)).map(({ tableId }) => tableId),
  )
  const yielding = new Set(
    [...byDestination]
      .filter(([place, group]) => group.length > 1 || owners.has(place))
      .flatMap(([, group]) =>
        group.filter((route) => !isNamed(route.selection) && placedElsewhere.has(route.tableId)),
      ),
  )
  const refused = [...byDestination].flatMap(([place, all]) => {
    const group = all.filter((route) => !yielding.has(route))
    const owner = owners.get(place)
    if (group.length < 2 && owner === undefined) return []
    return group.map((route) => {
      const name = formatDestinationName(route.destination)
      if (owner !== undefined) return { route, error: besideCollision(route, name, owner) }
      const sources = group.map(({ source }) => `${source.schema}.${source.table}`)
      return { route, error: collision(name, sources) }
    })
  })
  const refusedRoutes = new Set(refused.map(({ route }) => route))
  return {
    routes: [
      ...routes.filter((route) => !refusedRoutes.has(route) && !yielding.has(route)),
      ...gone,
    ],
    refused: [...unnamed.filter(({ route }) => !isGone(route)), ...refused],
  }
}

function placeOf({ destination }: TableRoute): string {
  return formatDestinationName(destination).toLowerCase()
}

/** By a `table` object. */
export function isNamed({ sourceTable }: TableSelection): boolean {
  return sourceTable !== undefined
}

/**
 * A `table` object replaces what a `schema` object would make of the same table at the same place,
 * and at any place when the table's own name can not name a destination. Where two tables would
 * meet at one place (`routeTables`), one that has an object of its own yields it to the other.
 */
function selectionsOf(
  name: SourceTableName,
  selections: readonly TableSelection[],
  rules: NameRules,
): readonly TableSelection[] {
  const matching = selections.filter(
    (selection) =>
      selection.sourceSchema === name.schema &&
      (selection.sourceTable === undefined || selection.sourceTable === name.table) &&
      (selection.sourceCatalog === undefined ||
        name.catalog === undefined ||
        selection.sourceCatalog === name.catalog),
  )
  const named = new Set(
    matching
      .filter((selection) => selection.sourceTable !== undefined)
      .map((selection) => formatDestinationName(destinationOf(selection, name)).toLowerCase()),
  )
  const needsName = named.size > 0 && rules.problem(name.table) !== undefined
  return matching.filter(
    (selection) =>
      selection.sourceTable !== undefined ||
      (!needsName &&
        !named.has(formatDestinationName(destinationOf(selection, name)).toLowerCase())),
  )
}

function destinationOf(selection: TableSelection, name: SourceTableName): DestinationName {
  return {
    catalog: selection.destinationCatalog,
    schema: selection.destinationSchema,
    table: selection.destinationTable ?? name.table,
  }
}

function folded(name: DestinationName, { fold }: NameRules): DestinationName {
  return { ...name, table: fold(name.table) }
}

function unusableName({ source }: TableRoute, problem: string): SluiceError {
  const name = JSON.stringify(source.table)
  return new SluiceError(
    'CONFIG_INVALID_NAME',
    `the source table ${JSON.stringify(source.schema)}.${name} can not give its name to a destination table: it ${problem}`,
    {
      remedy: `Add an object {table: {source_schema: ${JSON.stringify(source.schema)}, source_table: ${name}, destination_table: …}} with a name of letters, digits, _ and -.`,
    },
  )
}

/** By the place, in lower case, at which rows of a table are held back. */
function ownersBeside(
  routes: readonly TableRoute[],
  { beside }: NameRules,
): ReadonlyMap<string, TableRoute> {
  if (beside === undefined) return new Map()
  return new Map(
    routes.map((route) => {
      const { destination } = route
      const place = { ...destination, table: beside(destination.table) }
      return [formatDestinationName(place).toLowerCase(), route]
    }),
  )
}

function besideCollision({ source }: TableRoute, place: string, owner: TableRoute): SluiceError {
  const other = `${owner.source.schema}.${owner.source.table}`
  return new SluiceError(
    'PIPELINE_NAME_COLLISION',
    `${source.schema}.${source.table} would become ${place}, where rows of ${other} that do not fit are held back`,
    { remedy: 'Give it a destination_table of its own, or another destination_schema.' },
  )
}

function collision(destination: string, sources: readonly string[]): SluiceError {
  return new SluiceError(
    'PIPELINE_NAME_COLLISION',
    `${sources.join(' and ')} would both become ${destination} (names are equal ignoring case)`,
    { remedy: 'Give one of them a destination_table of its own, or another destination_schema.' },
  )
}

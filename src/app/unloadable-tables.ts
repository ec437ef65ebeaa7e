/**
 * What keeps chosen tables from being staged or loaded although their source meets every
 * requirement: names and columns that a run refuses, found by the functions a run finds them by.
 */
import { asSluiceError, type SluiceError } from '../base/errors.ts'
import { foldName, nameProblem } from '../catalog/names.ts'
import type { PipelineDefinition } from '../catalog/pipeline-definition.ts'
import { pipelineSettings, settingValue } from '../catalog/pipeline-settings.ts'
import { chooseColumns } from '../destination/destination-columns.ts'
import { expectNoClash } from '../gateway/begin-copy.ts'
import {
  type NameRules,
  routeTables,
  rulesUnder,
  type TableSelection,
} from '../pipeline/table-selection.ts'
import type { Finding } from '../source/finding.ts'
import type { SourceTable, SourceTableName } from '../source/table-schema.ts'
import { selectionFrom } from './pipeline-runtime.ts'

/** One finding for every reason, which may concern several tables. Order: as `tables`. */
export function unloadableTables(
  tables: readonly SourceTable[],
  pipelines: readonly (Pick<PipelineDefinition, 'objects'> &
    Partial<Pick<PipelineDefinition, 'settings'>>)[],
  { isFirstRun }: { readonly isFirstRun: boolean },
): readonly Finding[] {
  const findings: Finding[] = []
  for (const { schema, name } of tables) {
    const error = errorOf(() => expectNoClash({ schema, name }))
    if (error !== undefined) findings.push(findingOf(error, [name]))
  }
  const described = new Map(tables.map((table) => [table.id as string, table]))
  for (const { objects, settings = {} } of pipelines) {
    const selections = objects.map(selectionFrom)
    const policy = settingValue(settings, pipelineSettings.unfitValues)
    const names = rulesUnder(policy, { fold: foldName, problem: nameProblem })
    for (const finding of routingFindings(described, { selections, names }, isFirstRun)) {
      // Two pipelines may say the same of a table.
      if (!findings.some((other) => isSame(other, finding))) findings.push(finding)
    }
  }
  return findings
}

function routingFindings(
  tables: ReadonlyMap<string, SourceTable>,
  { selections, names }: { selections: readonly TableSelection[]; names: NameRules },
  isFirstRun: boolean,
): readonly Finding[] {
  const named = [...tables].map(([tableId, { name }]) => ({ tableId, name }))
  const { routes, refused } = routeTables(named, selections, names)
  // Tables that would meet at one place are refused in the same words.
  const reasons = new Map<string, { error: SluiceError; names: SourceTableName[] }>()
  for (const { route, error } of refused) {
    const reason = reasons.get(error.message) ?? { error, names: [] }
    reason.names.push(route.source)
    reasons.set(error.message, reason)
  }
  return [
    ...[...reasons.values()].map(({ error, names }) => findingOf(error, names)),
    ...routes.flatMap((route) => {
      const table = tables.get(route.tableId)
      const error =
        table === undefined ? undefined : columnError(table, route.selection, isFirstRun)
      return error === undefined ? [] : [findingOf(error, [route.source])]
    }),
  ]
}

function columnError(
  { schema }: SourceTable,
  selection: TableSelection,
  isFirstRun: boolean,
): SluiceError | undefined {
  if (isFirstRun) return errorOf(() => chooseColumns(schema, selection))
  // A list may go on naming what an earlier version of the table had.
  const names = new Set(schema.columns.map(({ name }) => name))
  const { includeColumns, excludeColumns } = selection
  const lists = {
    ...(includeColumns && { includeColumns: includeColumns.filter((name) => names.has(name)) }),
    ...(excludeColumns && { excludeColumns: excludeColumns.filter((name) => names.has(name)) }),
  }
  return errorOf(() => chooseColumns(schema, { ...selection, ...lists }))
}

function errorOf(look: () => unknown): SluiceError | undefined {
  try {
    look()
    return undefined
  } catch (error) {
    return asSluiceError(error)
  }
}

function findingOf(
  { code, message, remedy }: SluiceError,
  tables: readonly SourceTableName[],
): Finding {
  const shown = [...new Set(tables.map(({ schema, table }) => `${schema}.${table}`))]
  const [first, ...others] = shown
  const concerned = first === undefined || others.length > 0 ? { tables: shown } : { table: first }
  return { severity: 'error', code, subject: 'destination', message, remedy, ...concerned }
}

function isSame(one: Finding, other: Finding): boolean {
  return one.code === other.code && one.message === other.message && one.table === other.table
}

/** Which tables of the source a gateway reads. */
import { SluiceError } from '../base/errors.ts'
import type { Finding } from '../source/finding.ts'
import type { Source } from '../source/source.ts'
import type { SourceTable } from '../source/table-schema.ts'
import { nameOf } from './followed-tables.ts'

export interface TableSelection {
  /** Every table of these schemas that is no part of another, also those that are created later. */
  readonly schemas: readonly string[]
  readonly tables: readonly NamedTable[]
  /** Whoever wants the table wants its changes as they come, so that inserts alone will do. */
  readonly isAppendOnly?: (table: NamedTable) => boolean
}

export interface NamedTable {
  readonly schema: string
  readonly table: string
}

export interface SelectedTables {
  readonly tables: readonly SourceTable[]
  /** Asked for by name and not there. */
  readonly missing: readonly NamedTable[]
}

export async function selectTables(
  source: Pick<Source, 'discoverTables'>,
  selection: TableSelection,
): Promise<SelectedTables> {
  const schemas = new Set([...selection.schemas, ...selection.tables.map((named) => named.schema)])
  const discovered = await source.discoverTables([...schemas])
  const whole = new Set(selection.schemas)
  const key = ({ schema, table }: NamedTable): string => JSON.stringify([schema, table])
  const named = new Set(selection.tables.map(key))
  const present = new Set(discovered.map(({ name }) => key(name)))
  return {
    tables: discovered
      .filter(
        ({ name, partOf }) =>
          named.has(key(name)) || (whole.has(name.schema) && partOf === undefined),
      )
      .map((table) => withIdentity(table, selection)),
    missing: selection.tables.filter((table) => !present.has(key(table))),
  }
}

/** A table whose rows nothing identifies can be followed for its inserts, where that is enough. */
export function withIdentity(
  table: SourceTable,
  { isAppendOnly }: Pick<TableSelection, 'isAppendOnly'>,
): SourceTable {
  const { schema, name } = table
  const isIdentified = schema.key.length > 0 || schema.identity !== undefined
  if (isIdentified || isAppendOnly?.(name) !== true) return table
  return { ...table, schema: { ...schema, identity: 'insert-only' } }
}

/**
 * Why single tables can not be followed, by `schema.table`. Throws the first finding that concerns
 * the whole server, with all of them in its message.
 */
export function refusals(findings: readonly Finding[]): ReadonlyMap<string, SluiceError> {
  const errors = findings.filter((finding) => finding.severity === 'error')
  const server = errors.filter(({ table, tables }) => table === undefined && tables === undefined)
  const [first] = server
  if (first !== undefined) {
    const message = server.map((one) => `${one.subject}: ${one.message}`).join('; ')
    throw errorOf({ ...first, ...wholeRemedy(first, errors) }, message)
  }
  const refused = new Map<string, SluiceError>()
  for (const finding of errors) {
    for (const table of finding.tables ?? [finding.table ?? '']) {
      if (!refused.has(table)) refused.set(table, errorOf(finding, finding.message))
    }
  }
  return refused
}

export function tableNotFound(table: NamedTable): SluiceError {
  const name = nameOf({ name: table })
  return new SluiceError('GATEWAY_TABLE_NOT_FOUND', `there is no table ${name} in the source`)
}

/** A publication that is made is to have its tables too, or they are missing the next time. */
function wholeRemedy(first: Finding, errors: readonly Finding[]): Pick<Finding, 'remedy'> {
  if (first.code !== 'SOURCE_PUBLICATION_MISSING') return {}
  const tables = errors.filter(({ code }) => code === 'SOURCE_PUBLICATION_INCOMPLETE')
  return { remedy: [first, ...tables].flatMap(({ remedy }) => remedy ?? []).join('\n') }
}

function errorOf({ code, remedy, retry }: Finding, message: string): SluiceError {
  const options = {
    ...(remedy === undefined ? {} : { remedy }),
    ...(retry === undefined ? {} : { retry }),
  }
  return new SluiceError(code ?? 'GATEWAY_CHECK_FAILED', message, options)
}

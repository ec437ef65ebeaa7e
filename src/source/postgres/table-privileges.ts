/** What a role may do with the chosen tables, and the statements that let it. */
import type { Finding } from '../finding.ts'
import type { SourceTable, SourceTableName } from '../table-schema.ts'
import type { ControlRow } from './connect.ts'
import type { CatalogTable } from './discover.ts'
import { listed } from './listed.ts'
import { unmetByTables } from './prerequisite-finding.ts'
import { quoteIdentifier, quoteTable, shownTable } from './sql-text.ts'

/** `$1`: oids of tables, `$2`: names of our publications. One row a table. */
export const privilegesSql = `
  SELECT c.oid::text AS id, current_user AS role, n.nspname AS schema,
    has_schema_privilege(n.oid, 'USAGE') AS can_use, has_table_privilege(c.oid, 'SELECT') AS can_select,
    (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        AND has_any_column_privilege(c.oid, 'SELECT')
        AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')) AS hidden_columns,
    has_any_column_privilege(c.oid, 'SELECT') AS can_select_some,
    row_security_active(c.oid) AS is_hidden, pg_has_role(c.relowner, 'USAGE') AS is_owner,
    has_database_privilege(current_database(), 'CREATE') AS can_create,
    (SELECT bool_and(pg_has_role(p.pubowner, 'USAGE')) FROM pg_publication p
      WHERE p.pubname = ANY ($2::text[]))
      AS owns_publication
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = ANY ($1::oid[])`

/** A right that some statement gives; `isPartition`: to a partition of what was chosen. */
export type MissingGrant =
  | { readonly kind: 'usage'; readonly schema: string }
  | {
      readonly kind: 'select'
      readonly name: Pick<SourceTableName, 'schema' | 'table'>
      readonly isPartition: boolean
      /** Columns that it is missing for; all when left out. */
      readonly columns?: string
    }

type Problem = Omit<Finding, 'subject' | 'table'> & { readonly grant?: MissingGrant }

export function privilegeProblems({ table }: CatalogTable, row: ControlRow): Problem[] {
  const role = quoteIdentifier(row['role'] ?? '')
  const problems: Problem[] = []
  const denied = (message: string, grant: MissingGrant): void => {
    const remedy = grantStatements([grant], role)
    problems.push({ severity: 'error', code: 'SOURCE_PERMISSION_DENIED', message, remedy, grant })
  }
  if (row['can_use'] !== 't') {
    const schema = row['schema'] ?? ''
    const message = `Role ${role} may not use schema ${quoteIdentifier(schema)}`
    denied(message, { kind: 'usage', schema })
  }
  if (row['can_select'] !== 't') {
    const columns = row['can_select_some'] === 't' ? row['hidden_columns'] : undefined
    denied(readMessage(role, row), {
      kind: 'select',
      name: table.name,
      isPartition: false,
      ...(typeof columns === 'string' ? { columns } : {}),
    })
  }
  if (row['is_hidden'] === 't') {
    problems.push({
      severity: 'error',
      code: 'SOURCE_ROW_SECURITY',
      message: `Row-level security applies to role ${role}`,
      remedy: `ALTER ROLE ${role} BYPASSRLS;`,
    })
  }
  return problems
}

/** A copy locks the table, for which the right to columns alone is not enough. */
function readMessage(role: string, row: ControlRow): string {
  if (row['can_select_some'] !== 't') return `Role ${role} may not read it`
  const hidden = row['hidden_columns']
  return typeof hidden === 'string'
    ? `Role ${role} may not read its columns ${hidden}`
    : `Role ${role} may read its columns, but not the table`
}

/** Statements that give all of it, every schema and table once. `role`: quoted. */
export function grantStatements(grants: readonly MissingGrant[], role: string): string {
  const schemas = new Set<string>()
  const names = new Set<string>()
  const future = new Set<string>()
  for (const grant of grants) {
    if (grant.kind === 'usage') schemas.add(quoteIdentifier(grant.schema))
    else {
      names.add(quoteTable(grant.name))
      if (grant.isPartition) future.add(quoteIdentifier(grant.name.schema))
    }
  }
  const list = (all: ReadonlySet<string>): string => [...all].join(', ')
  return [
    ...(schemas.size === 0 ? [] : [`GRANT USAGE ON SCHEMA ${list(schemas)} TO ${role};`]),
    ...(names.size === 0 ? [] : [`GRANT SELECT ON TABLE ${list(names)} TO ${role};`]),
    ...(future.size === 0
      ? []
      : [
          `-- and for partitions to come: ALTER DEFAULT PRIVILEGES IN SCHEMA ${list(future)} GRANT SELECT ON TABLES TO ${role};`,
        ]),
  ].join(' ')
}

export interface DeniedTable {
  readonly table: SourceTable
  /** What a grant mends, of the table and of its partitions. */
  readonly problems: readonly { readonly message: string; readonly grant: MissingGrant }[]
}

/** One finding for all that grants mend; none when nothing is missing. `role`: as it is called. */
export function grantsFinding(
  denied: readonly DeniedTable[],
  { role, tableCount }: { readonly role: string; readonly tableCount: number },
): Finding[] {
  const quoted = quoteIdentifier(role)
  const problems = denied.flatMap((one) => one.problems)
  const grants = problems.map(({ grant }) => grant)
  return unmetByTables(
    { code: 'SOURCE_PERMISSION_DENIED', remedy: grantStatements(grants, quoted) },
    denied.map(({ table }) => shownTable(table.name)),
    {
      one: listed(
        problems.map(({ message }) => message),
        '; ',
      ),
      several: `Role ${quoted} may not read ${denied.length} of ${tableCount} tables: ${listed(denied.map(shownDenied), ', ')}`,
      subject: 'privileges',
    },
  )
}

function shownDenied({ table, problems }: DeniedTable): string {
  const shown = shownTable(table.name)
  const selects = problems.flatMap(({ grant }) => (grant.kind === 'select' ? [grant] : []))
  const columns = selects.find((grant) => grant.columns !== undefined)?.columns
  if (columns !== undefined) return `${shown} (its columns ${columns})`
  const isOwn = selects.some(({ isPartition }) => !isPartition)
  const partitions = selects.filter(({ isPartition }) => isPartition)
  if (isOwn || partitions.length === 0) return shown
  return `${shown} (its partitions ${listed(
    partitions.map(({ name }) => shownTable(name)),
    ', ',
  )})`
}

export interface HiddenTable {
  readonly table: SourceTable
  readonly message: string
}

/** One finding for all whose rows, or those of their partitions, are hidden from the role. */
export function hiddenFinding(
  hidden: readonly HiddenTable[],
  { role, tableCount }: { readonly role: string; readonly tableCount: number },
): Finding[] {
  const tables = [...new Set(hidden.map(({ table }) => shownTable(table.name)))]
  const quoted = quoteIdentifier(role)
  return unmetByTables(
    { code: 'SOURCE_ROW_SECURITY', remedy: `ALTER ROLE ${quoted} BYPASSRLS;` },
    tables,
    {
      one: listed(
        hidden.map(({ message }) => message),
        '; ',
      ),
      several: `Row-level security applies to role ${quoted} in ${tables.length} of ${tableCount} tables: ${listed(tables, ', ')}`,
      subject: 'row-level security',
    },
  )
}

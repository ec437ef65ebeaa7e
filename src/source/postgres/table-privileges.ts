/** What a role may do with the chosen tables, and the statements that let it. */
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { CatalogTable } from './discover.ts'
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

type Problem = Omit<Finding, 'subject' | 'table'>

export function privilegeProblems({ table }: CatalogTable, row: ControlRow): Problem[] {
  const name = quoteTable(table.name)
  const role = quoteIdentifier(row['role'] ?? '')
  const problems: Problem[] = []
  const denied = (message: string, remedy: string): void => {
    problems.push({ severity: 'error', code: 'SOURCE_PERMISSION_DENIED', message, remedy })
  }
  if (row['can_use'] !== 't') {
    const schema = quoteIdentifier(row['schema'] ?? '')
    denied(
      `Role ${role} may not use schema ${schema}`,
      `GRANT USAGE ON SCHEMA ${schema} TO ${role};`,
    )
  }
  if (row['can_select'] !== 't') {
    denied(readMessage(role, row), `GRANT SELECT ON ${name} TO ${role};`)
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

/** One statement for all that is missing; nothing when a single table lacks it. */
export function grantsFinding(
  tables: readonly CatalogTable[],
  rows: ReadonlyMap<string, ControlRow>,
): Finding[] {
  const schemas = new Set<string>()
  const names: CatalogTable['table']['name'][] = []
  const lacking = new Set<string>()
  let role = ''
  for (const { table } of tables) {
    const row = rows.get(table.id)
    if (row === undefined) continue
    role = quoteIdentifier(row['role'] ?? '')
    if (row['can_use'] !== 't') schemas.add(quoteIdentifier(table.name.schema))
    if (row['can_select'] !== 't') names.push(table.name)
    if (row['can_use'] !== 't' || row['can_select'] !== 't') lacking.add(shownTable(table.name))
  }
  if (lacking.size < 2) return []
  const statements = [
    ...(schemas.size === 0 ? [] : [`GRANT USAGE ON SCHEMA ${[...schemas].join(', ')} TO ${role};`]),
    ...(names.length === 0
      ? []
      : [`GRANT SELECT ON TABLE ${names.map(quoteTable).join(', ')} TO ${role};`]),
  ]
  return [
    {
      severity: 'error',
      code: 'SOURCE_PERMISSION_DENIED',
      subject: 'privileges',
      message: `Role ${role} may not read ${lacking.size} of ${tables.length} tables: ${[...lacking].join(', ')}`,
      remedy: statements.join(' '),
    },
  ]
}

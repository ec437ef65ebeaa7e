/**
 * What the partitions of a captured table have to be like: their changes come under their own
 * replica identity, and each is read by itself when the table is copied.
 */
import { SluiceError } from '../../base/errors.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import { identifiesRows } from './catalog-parts.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import { partitionTreeSql } from './partition-tree.ts'
import { idArray, quoteIdentifier, quoteTable, shownTable } from './sql-text.ts'
import { grantStatements, type MissingGrant } from './table-privileges.ts'
import type { UnmetRequirement } from './table-requirements.ts'

const partitionsSql = `
  SELECT t.root, t.schema, t.name, c.relkind AS kind, c.relpersistence AS persistence,
    c.relreplident AS identity, k.names AS identity_columns, current_user AS role,
    has_schema_privilege(c.relnamespace, 'USAGE') AS can_use,
    has_table_privilege(c.oid, 'SELECT') AS can_select,
    c.relkind = 'r' AND row_security_active(c.oid) AS is_hidden,
    -- Virtual ones exist since version 18.
    (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attgenerated = 'v' AND NOT a.attisdropped) AS virtual
  FROM (${partitionTreeSql('$1::oid[]')}) t
  JOIN pg_class c ON c.oid::text = t.node AND c.relkind <> 'p'
  LEFT JOIN LATERAL (
    SELECT json_agg(a.attname) AS names
    FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])
    WHERE i.indrelid = c.oid AND ${identifiesRows('c')}
  ) k ON true
  ORDER BY t.schema, t.name`

const childrenSql = `
  SELECT i.inhparent::text AS parent, string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) AS names
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_class p ON p.oid = i.inhparent AND p.relkind = 'r'
  WHERE i.inhparent = ANY ($1::oid[])
  GROUP BY 1`

function unsupported(table: SourceTable, row: ControlRow): UnmetRequirement | undefined {
  const partition = { schema: row['schema'] ?? '', table: row['name'] ?? '' }
  const code = 'SOURCE_TABLE_UNSUPPORTED'
  const name = quoteTable(partition)
  const detach = `ALTER TABLE ${quoteTable(table.name)} DETACH PARTITION ${name};`
  if (row['kind'] === 'f') {
    const message = `Its partition ${shownTable(partition)} is a foreign table: the changes of its rows are in the log of another server`
    return { code, message, remedy: `${detach} -- or choose the other partitions one by one` }
  }
  if (row['persistence'] === 'p') return undefined
  const message = `Its partition ${shownTable(partition)} is unlogged or temporary, so its changes are not in the log`
  return {
    code,
    message,
    remedy: row['persistence'] === 'u' ? `ALTER TABLE ${name} SET LOGGED;` : detach,
  }
}

/** Whether every change of a row in the partition says which row of the table it means. */
function identityProblem(table: SourceTable, row: ControlRow): UnmetRequirement | undefined {
  const identity = row['identity']
  const { schema } = table
  // Then the table itself is refused, or rows need not be told apart.
  if (schema.key.length === 0 && schema.identity !== 'full-row') return undefined
  const partition = { schema: row['schema'] ?? '', table: row['name'] ?? '' }
  const sent = JSON.parse(row['identity_columns'] ?? '[]') as readonly string[]
  const needsKey = schema.key.length > 0
  const virtual = JSON.parse(row['virtual'] ?? '[]') as readonly string[]
  if (identity === 'f' && virtual.length > 0) {
    return {
      code: 'SOURCE_REPLICA_IDENTITY',
      message: `The replica identity of its partition ${shownTable(partition)} is FULL, and generated columns can not be published (${virtual.join(', ')}): the server refuses every UPDATE and DELETE of what is published so`,
      remedy: needsKey
        ? `ALTER TABLE ${quoteTable(partition)} REPLICA IDENTITY DEFAULT;`
        : fullRemedy(table, partition, virtual),
    }
  }
  const isMet =
    identity === 'f' ||
    (identity !== 'n' && needsKey && schema.key.every((key) => sent.includes(key)))
  if (isMet) return undefined
  const how =
    identity === 'n' ? 'is NOTHING' : needsKey ? 'lacks a column of the key' : 'is not FULL'
  const isKeyed = needsKey && identity !== 'd'
  return {
    code: 'SOURCE_REPLICA_IDENTITY',
    message: `The replica identity of its partition ${shownTable(partition)} ${how}: updates and deletes do not say which row they mean`,
    remedy: isKeyed
      ? `ALTER TABLE ${quoteTable(partition)} REPLICA IDENTITY DEFAULT;`
      : fullRemedy(table, partition, virtual),
  }
}

/** Virtual columns are in the way of whole rows, and nothing is stored in them. */
function fullRemedy(
  table: SourceTable,
  partition: { readonly schema: string; readonly table: string },
  virtual: readonly string[],
): string {
  const full = `ALTER TABLE ${quoteTable(partition)} REPLICA IDENTITY FULL;`
  if (virtual.length === 0) return full
  const drops = virtual.map((name) => `DROP COLUMN IF EXISTS ${quoteIdentifier(name)}`).join(', ')
  return `ALTER TABLE ${quoteTable(table.name)} ${drops}; ${full} -- or a key for ${shownTable(table.name)}, and REPLICA IDENTITY DEFAULT for its partitions`
}

function privilegeProblems(row: ControlRow): UnmetRequirement[] {
  const role = quoteIdentifier(row['role'] ?? '')
  const schema = row['schema'] ?? ''
  const partition = { schema, table: row['name'] ?? '' }
  const problems: UnmetRequirement[] = []
  const denied = (message: string, grant: MissingGrant): void => {
    const remedy = grantStatements([grant], role)
    problems.push({ code: 'SOURCE_PERMISSION_DENIED', message, remedy, grant })
  }
  if (row['can_use'] !== 't') {
    denied(
      `Role ${role} may not use schema ${quoteIdentifier(schema)} of its partition ${shownTable(partition)}`,
      { kind: 'usage', schema },
    )
  }
  if (row['can_select'] !== 't') {
    denied(`Role ${role} may not read its partition ${shownTable(partition)}`, {
      kind: 'select',
      name: partition,
      isPartition: true,
    })
  }
  if (row['is_hidden'] === 't') {
    problems.push({
      code: 'SOURCE_ROW_SECURITY',
      message: `Row-level security of its partition ${shownTable(partition)} applies to role ${role}`,
      remedy: `ALTER ROLE ${role} BYPASSRLS;`,
    })
  }
  return problems
}

/** By the id of the partitioned table: all problems of its partitions, one partition after another. */
export async function partitionProblems(
  control: Pick<Control, 'query'>,
  tables: readonly SourceTable[],
): Promise<ReadonlyMap<TableId, readonly UnmetRequirement[]>> {
  const roots = new Map(
    tables.filter(({ isPartitioned }) => isPartitioned === true).map((table) => [table.id, table]),
  )
  const problems = new Map<TableId, UnmetRequirement[]>()
  if (roots.size === 0) return problems
  for (const row of await control.query(partitionsSql, [idArray([...roots.keys()])])) {
    const table = roots.get(row['root'] as TableId)
    if (table === undefined) continue
    const unfit = unsupported(table, row)
    const all = unfit ? [unfit] : [identityProblem(table, row) ?? [], privilegeProblems(row)].flat()
    const known = problems.get(table.id)
    if (known !== undefined) known.push(...all)
    else if (all.length > 0) problems.set(table.id, all)
  }
  return problems
}

/** Throws the first problem that a partition of the table has. */
export async function expectPartitionsCapturable(
  control: Pick<Control, 'query'>,
  table: SourceTable,
): Promise<void> {
  const [first] = (await partitionProblems(control, [table])).get(table.id) ?? []
  if (first === undefined) return
  const message = `${shownTable(table.name)}: ${first.message}`
  throw new SluiceError(first.code, message, { remedy: first.remedy })
}

/** By table id: tables that inherit from it by INHERITS, for people. */
export async function inheritingTables(
  control: Pick<Control, 'query'>,
  tables: readonly SourceTable[],
): Promise<ReadonlyMap<TableId, string>> {
  const rows = await control.query(childrenSql, [idArray(tables.map(({ id }) => id))])
  return new Map(rows.map((row) => [row['parent'] as TableId, row['names'] ?? '']))
}

/** By table id: the problem of a table that is captured twice, alone and as a part of another. */
export function capturedTwice(
  tables: readonly SourceTable[],
  wholes: ReadonlyMap<TableId, readonly SourceTable[]>,
): ReadonlyMap<TableId, UnmetRequirement> {
  const problems = new Map<TableId, UnmetRequirement>()
  for (const table of tables) {
    const [whole] = wholes.get(table.id) ?? []
    if (whole === undefined) continue
    problems.set(table.id, {
      code: 'SOURCE_PARTITION_TWICE',
      message: `It is a partition of ${shownTable(whole.name)}, which is chosen as well: its rows would be captured twice`,
      remedy: `Remove ${shownTable(table.name)} or ${shownTable(whole.name)} from the objects of the pipeline.`,
    })
  }
  return problems
}

/** By the id of a table among `tables`: those among them that it is a partition of. */
export async function wholesAmong(
  control: Pick<Control, 'query'>,
  tables: readonly SourceTable[],
): Promise<ReadonlyMap<TableId, readonly SourceTable[]>> {
  const parts = tables.filter(({ partOf }) => partOf !== undefined)
  const roots = tables.filter(({ isPartitioned }) => isPartitioned === true)
  const wholes = new Map<TableId, SourceTable[]>()
  if (parts.length === 0 || roots.length === 0) return wholes
  const ids = idArray(roots.map(({ id }) => id))
  for (const row of await control.query(partitionTreeSql('$1::oid[]'), [ids])) {
    const part = parts.find(({ id }) => id === row['node'])
    const whole = roots.find(({ id }) => id === row['root'])
    if (part === undefined || whole === undefined) continue
    wholes.set(part.id, [...(wholes.get(part.id) ?? []), whole])
  }
  return wholes
}

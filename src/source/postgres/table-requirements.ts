/** What a table has to be like for its changes to be in the log and to identify its rows. */
import { SluiceError } from '../../base/errors.ts'
import type { ErrorCode } from '../../base/error-codes.ts'
import type { RowIdentity } from '../table-schema.ts'
import type { CatalogTable } from './discover.ts'
import { quoteIdentifier, quoteTable, shownTable } from './sql-text.ts'
import type { MissingGrant } from './table-privileges.ts'

export interface UnmetRequirement {
  readonly code: ErrorCode
  readonly message: string
  readonly remedy: string
  /** What has to be granted, where that is all. */
  readonly grant?: MissingGrant
}

const persistences: Readonly<Record<string, string>> = { u: 'unlogged', t: 'temporary' }

function unmetKind({ table, kind, persistence }: CatalogTable): UnmetRequirement | undefined {
  const name = quoteTable(table.name)
  if (kind === 'f') {
    return {
      code: 'SOURCE_TABLE_UNSUPPORTED',
      message: 'It is a foreign table',
      remedy: 'Choose the table at the server that holds it.',
    }
  }
  const persistenceName = persistences[persistence]
  if (persistenceName === undefined) return undefined
  return {
    code: 'SOURCE_TABLE_UNSUPPORTED',
    message: `It is ${persistenceName}, so its changes are not in the log`,
    remedy: persistence === 'u' ? `ALTER TABLE ${name} SET LOGGED;` : 'Choose a permanent table.',
  }
}

function unmetIdentity(table: CatalogTable): UnmetRequirement | undefined {
  // Of a partitioned table only those of its partitions count.
  if (table.replicaIdentity !== 'n' || table.kind === 'p') return unmetKey(table)
  return {
    code: 'SOURCE_REPLICA_IDENTITY',
    message: 'Its replica identity is NOTHING: updates and deletes do not say which row they mean',
    remedy:
      table.primaryKey === undefined
        ? keyOrOtherWays(table)
        : `ALTER TABLE ${quoteTable(table.table.name)} REPLICA IDENTITY DEFAULT; ${insertsOnly}`,
  }
}

function unmetFullIdentity(table: CatalogTable): UnmetRequirement | undefined {
  if (!table.isFullRefused || table.replicaIdentity !== 'f' || table.kind === 'p') return undefined
  const alter = `ALTER TABLE ${quoteTable(table.table.name)}`
  return {
    code: 'SOURCE_REPLICA_IDENTITY',
    message: `Its replica identity is FULL and generated columns are not published (${table.generated.join(', ')}): once it is published, the server refuses every UPDATE and DELETE of it`,
    remedy:
      table.primaryKey === undefined
        ? `${dropStatement(table)} -- or a key and REPLICA IDENTITY DEFAULT`
        : `${alter} REPLICA IDENTITY DEFAULT;`,
  }
}

function unmetKey(table: CatalogTable): UnmetRequirement | undefined {
  const { key, identity } = table.table.schema
  if (key.length > 0 || identity === 'full-row') return undefined
  return {
    code: 'SOURCE_TABLE_WITHOUT_KEY',
    message: hasCells(table)
      ? 'It has no usable key: no primary key that is checked at once, and no replica identity index'
      : 'It has no columns to tell its rows by, whatever its replica identity is',
    remedy: keyOrOtherWays(table),
  }
}

/** Types whose values are numbers of other objects and are told by the names of these. */
const namedTypes =
  /^reg(class|collation|config|dictionary|namespace|oper|operator|proc|procedure|role|type)$/

/** The key of a row would become another one without any change of the row. */
function unmetNamedKey({ table, kind }: CatalogTable): UnmetRequirement | undefined {
  const { key, columns } = table.schema
  const column = columns.find(
    ({ name, sourceType }) => key.includes(name) && namedTypes.test(sourceType),
  )
  if (column === undefined) return undefined
  const name = quoteIdentifier(column.name)
  return {
    code: 'SOURCE_TABLE_UNSUPPORTED',
    message: `Its key has column ${name} of type ${column.sourceType}, whose text changes without the row when the object it names is renamed`,
    remedy: `ALTER TABLE ${kind === 'p' ? '' : 'ONLY '}${quoteTable(table.name)} ALTER COLUMN ${name} TYPE oid;`,
  }
}

const insertsOnly = '-- or scd_type: APPEND_ONLY wherever it is wanted, for its inserts alone'

/** Nothing of a table's own is in them. */
function dropStatement({ table, generated }: CatalogTable): string {
  const drops = generated.map((name) => `DROP COLUMN ${quoteIdentifier(name)}`).join(', ')
  return `ALTER TABLE ${quoteTable(table.name)} ${drops};`
}

/** By whole rows, of all its partitions if it has some. */
function fullStatements(catalogTable: CatalogTable): string {
  const all = [catalogTable.table.name, ...catalogTable.partitions].map(quoteTable)
  const statements = all.map((one) => `ALTER TABLE ${one} REPLICA IDENTITY FULL;`).join(' ')
  return catalogTable.isFullRefused ? `${dropStatement(catalogTable)} ${statements}` : statements
}

/** A row without cells is like every other one. */
function hasCells({ table }: CatalogTable): boolean {
  return table.schema.columns.length > 0
}

function keyOrOtherWays(catalogTable: CatalogTable): string {
  const { replicaIdentity, identityIndex, table, kind } = catalogTable
  // A new key is of no use to identity NOTHING.
  const isUnused = replicaIdentity === 'n' && identityIndex === undefined && kind !== 'p'
  const first = isUnused ? `ALTER TABLE ${quoteTable(table.name)} REPLICA IDENTITY DEFAULT; ` : ''
  const key = `${first}${keyStatement(catalogTable)}`
  return hasCells(catalogTable) ? `${key} ${otherWays(catalogTable)}` : key
}

/** Without a key: by whole rows, or inserts alone. */
function otherWays(catalogTable: CatalogTable): string {
  if (catalogTable.kind === 'p') return insertsOnly
  const without = catalogTable.isFullRefused ? 'without its generated columns: ' : ''
  return `-- or ${without}${fullStatements(catalogTable)} ${insertsOnly}`
}

/** The mildest statement that gives the table a key and needs no knowledge of its rows. */
function keyStatement(catalogTable: CatalogTable): string {
  const { table, kind, columns, identityIndex, primaryKey, isFullRefused } = catalogTable
  const alter = `ALTER TABLE ${quoteTable(table.name)}`
  if (identityIndex !== undefined) {
    return `${alter} REPLICA IDENTITY USING INDEX ${quoteIdentifier(identityIndex)};`
  }
  if (primaryKey !== undefined) {
    // Nothing references a key that is checked late: the server does not allow it.
    const name = quoteIdentifier(primaryKey.name)
    const key = primaryKey.columns.map(quoteIdentifier).join(', ')
    return `${alter} DROP CONSTRAINT ${name}, ADD CONSTRAINT ${name} PRIMARY KEY (${key});`
  }
  if (kind === 'p') {
    // Every unique constraint has to include the columns it is partitioned by: no new column can.
    const full = fullStatements(catalogTable)
    const key =
      'ADD PRIMARY KEY (columns that are unique and NOT NULL, those it is partitioned by among them)'
    // What the server refuses with generated columns is not to be pasted unseen.
    if (isFullRefused) {
      return `-- ${alter} ${key};\n-- or without its generated columns: ${full} and every partition to come`
    }
    return `${full} -- and every partition to come; or ${key}`
  }
  const taken = new Set(columns.map(({ name }) => name.toLowerCase()))
  const name = ['id', 'row_id', 'sluice_row_id'].find((candidate) => !taken.has(candidate))
  return `${alter} ADD COLUMN ${quoteIdentifier(name ?? 'sluice_row_id_2')} bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY; -- or ADD PRIMARY KEY (columns that are unique and NOT NULL)`
}

function freeName(name: string, columns: readonly { readonly name: string }[]): string {
  const taken = new Set(columns.map((column) => column.name.toLowerCase()))
  let number = 2
  while (taken.has(`${name}_${number}`.toLowerCase())) number++
  return `${name}_${number}`
}

function unmetNames({ table }: CatalogTable): UnmetRequirement | undefined {
  const seen = new Map<string, string>()
  for (const { name } of table.schema.columns) {
    const other = seen.get(name.toLowerCase())
    if (other !== undefined) {
      const free = freeName(name, table.schema.columns)
      return {
        code: 'SOURCE_COLUMN_NAMES_CLASH',
        message: `Its columns "${other}" and "${name}" differ in case only`,
        remedy: `ALTER TABLE ${quoteTable(table.name)} RENAME COLUMN ${quoteIdentifier(name)} TO ${quoteIdentifier(free)};`,
      }
    }
    seen.set(name.toLowerCase(), name)
  }
  return undefined
}

/**
 * Everything that keeps the table from being captured; `wanted`: how its rows are to be identified,
 * where that is not for the catalog to say.
 */
export function unmetRequirements(
  table: CatalogTable,
  wanted?: RowIdentity,
): readonly UnmetRequirement[] {
  const kind = unmetKind(table)
  if (kind !== undefined && table.kind === 'f') return [kind]
  const identity = wanted === 'insert-only' ? undefined : unmetIdentity(table)
  const full = wanted === 'insert-only' ? undefined : unmetFullIdentity(table)
  const named = wanted === 'insert-only' ? undefined : unmetNamedKey(table)
  const all = [kind, identity, full, named, unmetNames(table)]
  return all.filter((unmet) => unmet !== undefined)
}

/** Throws the first unmet requirement. */
export function expectCapturable(table: CatalogTable, wanted?: RowIdentity): void {
  const [unmet] = unmetRequirements(table, wanted)
  if (unmet === undefined) return
  throw new SluiceError(unmet.code, `${shownTable(table.table.name)}: ${unmet.message}`, {
    remedy: unmet.remedy,
  })
}

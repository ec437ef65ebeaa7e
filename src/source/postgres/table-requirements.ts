/** What a table has to be like for its changes to be in the log and to identify its rows. */
import { SluiceError } from '../../base/errors.ts'
import type { ErrorCode } from '../../base/error-codes.ts'
import type { CatalogTable } from './discover.ts'
import { quoteIdentifier, quoteTable, shownTable } from './sql-text.ts'

export interface UnmetRequirement {
  readonly code: ErrorCode
  readonly message: string
  readonly remedy: string
}

const kinds: Readonly<Record<string, string>> = {
  p: 'a partitioned table',
  f: 'a foreign table',
}
const persistences: Readonly<Record<string, string>> = { u: 'unlogged', t: 'temporary' }

function unmetKind({ table, kind, persistence }: CatalogTable): UnmetRequirement | undefined {
  const name = quoteTable(table.name)
  const kindName = kinds[kind]
  if (kindName !== undefined) {
    return {
      code: 'SOURCE_TABLE_UNSUPPORTED',
      message: `It is ${kindName}`,
      remedy:
        kind === 'p'
          ? `Choose its partitions: SELECT relid::regclass FROM pg_partition_tree('${name.replaceAll("'", "''")}') WHERE isleaf;`
          : 'Choose the table at the server that holds it.',
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

function unmetKey({ table, replicaIdentity }: CatalogTable): UnmetRequirement | undefined {
  const name = quoteTable(table.name)
  if (replicaIdentity === 'n') {
    return {
      code: 'SOURCE_REPLICA_IDENTITY',
      message:
        'Its replica identity is NOTHING: updates and deletes do not say which row they mean',
      remedy: `ALTER TABLE ${name} REPLICA IDENTITY DEFAULT;`,
    }
  }
  if (table.schema.key.length > 0) return undefined
  const candidate = table.schema.columns.find((column) => !column.nullable)?.name
  const columns = candidate === undefined ? '<columns>' : quoteIdentifier(candidate)
  return {
    code: 'SOURCE_TABLE_WITHOUT_KEY',
    message:
      'It has no usable key: no primary key that is checked at once, and no replica identity index',
    remedy: `ALTER TABLE ${name} ADD PRIMARY KEY (${columns}); or, with a unique index on columns that are NOT NULL: ALTER TABLE ${name} REPLICA IDENTITY USING INDEX <index>;`,
  }
}

function unmetNames({ table }: CatalogTable): UnmetRequirement | undefined {
  const seen = new Map<string, string>()
  for (const { name } of table.schema.columns) {
    const other = seen.get(name.toLowerCase())
    if (other !== undefined) {
      return {
        code: 'SOURCE_COLUMN_NAMES_CLASH',
        message: `Its columns "${other}" and "${name}" differ in case only`,
        remedy: `ALTER TABLE ${quoteTable(table.name)} RENAME COLUMN ${quoteIdentifier(name)} TO <other name>;`,
      }
    }
    seen.set(name.toLowerCase(), name)
  }
  return undefined
}

/** Everything that keeps the table from being captured. */
export function unmetRequirements(table: CatalogTable): readonly UnmetRequirement[] {
  const kind = unmetKind(table)
  if (kind !== undefined) return [kind]
  return [unmetKey(table), unmetNames(table)].filter((unmet) => unmet !== undefined)
}

/** Throws the first unmet requirement. */
export function expectCapturable(table: CatalogTable): void {
  const [unmet] = unmetRequirements(table)
  if (unmet === undefined) return
  throw new SluiceError(unmet.code, `${shownTable(table.table.name)}: ${unmet.message}`, {
    remedy: unmet.remedy,
  })
}

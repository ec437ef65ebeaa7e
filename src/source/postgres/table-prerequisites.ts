/** What the chosen tables have to be like, one by one. */
import type { ErrorCode } from '../../base/error-codes.ts'
import type { Log } from '../../observe/log.ts'
import type { Finding } from '../finding.ts'
import type { RowIdentity, SourceTable, TableId, TableSchema } from '../table-schema.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import { type CatalogTable, discoverById } from './discover.ts'
import { insertsNameOf, isInsertOnly } from './insert-publication.ts'
import {
  addTablesStatement,
  makeForRoleStatements,
  publicationOptions,
  type PublicationState,
  type Publishes,
  readPublication,
} from './publication.ts'
import { idArray, quoteIdentifier, quoteTable, shownTable, textArray } from './sql-text.ts'
import {
  type DeniedTable,
  grantsFinding,
  type MissingGrant,
  privilegeProblems,
  privilegesSql,
} from './table-privileges.ts'
import { unmetRequirements } from './table-requirements.ts'
import { lookAround, surroundingProblems } from './table-surroundings.ts'

export interface TableCheckContext {
  readonly control: Control
  readonly log: Log
  readonly publicationName: string
  readonly serverVersion: number
}

type Problem = Omit<Finding, 'subject' | 'table'> & {
  readonly subject?: string
  readonly grant?: MissingGrant
}

interface PublicationPlan {
  readonly name: string
  readonly publishes: Publishes
  /** It exists, or an earlier statement of the same check makes it. */
  readonly isMadeBefore: boolean
}

function publicationProblems(
  table: CatalogTable,
  row: ControlRow,
  publication: PublicationState,
  { name, publishes, isMadeBefore }: PublicationPlan,
): Problem[] {
  const { id } = table.table
  const problem = publication.problems.get(id)
  if (problem !== undefined && !publication.isOurs) {
    return [
      {
        severity: 'error',
        code: 'SOURCE_PUBLICATION_INCOMPLETE',
        message: `Publication "${name}": ${problem}`,
        remedy: `ALTER PUBLICATION ${quoteIdentifier(name)} DROP TABLE ${quoteTable(table.table.name)}; ${addTablesStatement(name, [table.table])} ALTER PUBLICATION ${quoteIdentifier(name)} SET (${publicationOptions[publishes]});`,
      },
    ]
  }
  const isIn = publication.signatures.has(id)
  const canAdd = row['is_owner'] === 't' && (!publication.exists || row['owns_publication'] === 't')
  if (isIn || canAdd) return []
  return [
    {
      severity: 'error',
      code: 'SOURCE_PUBLICATION_INCOMPLETE',
      message: `It is not in publication "${name}", and role ${quoteIdentifier(row['role'] ?? '')} may not add it`,
      remedy: `${isMadeBefore ? '' : `${makeForRoleStatements(name, row['role'] ?? '', publishes)} `}${addTablesStatement(name, [table.table])}`,
    },
  ]
}

function remedyForGenerated(
  { exists, publishesGenerated }: PublicationState,
  { name }: PublicationPlan,
): string {
  const others = 'Compute them at the destination, or make them ordinary columns.'
  if (!exists || publishesGenerated !== false) return others
  const statement = `ALTER PUBLICATION ${quoteIdentifier(name)} SET (publish_generated_columns = stored);`
  return `For those that are stored: ${statement}\n${others}`
}

const identityCodes: ReadonlySet<ErrorCode> = new Set([
  'SOURCE_TABLE_WITHOUT_KEY',
  'SOURCE_REPLICA_IDENTITY',
])

/**
 * Published before it, or a partition of it, has an identity, a table has its updates refused by the
 * server: the statement that publishes it does nothing when it is pasted with the others.
 */
function identityFirst(problems: readonly Problem[]): readonly Problem[] {
  const lacks = problems.some(({ code }) => code !== undefined && identityCodes.has(code))
  if (!lacks) return problems
  return problems.map((problem) =>
    problem.code === 'SOURCE_PUBLICATION_INCOMPLETE'
      ? { ...problem, remedy: `-- once it has an identity: ${problem.remedy ?? ''}` }
      : problem,
  )
}

function problemsOf(
  table: CatalogTable,
  row: ControlRow,
  publication: PublicationState,
  plan: PublicationPlan & { readonly identity: RowIdentity | undefined },
): Problem[] {
  const unmet = unmetRequirements(table, plan.identity).map((one): Problem => ({
    severity: 'error',
    ...one,
  }))
  const problems = [...unmet, ...privilegeProblems(table, row)]
  if (table.kind !== 'f') {
    problems.push(...publicationProblems(table, row, publication, plan))
  }
  if (table.generated.length > 0) {
    problems.push({
      severity: 'warning',
      code: 'SOURCE_COLUMN_NOT_CAPTURED',
      message: `Generated columns are left out: ${table.generated.join(', ')}`,
      remedy: remedyForGenerated(publication, plan),
    })
  }
  return problems
}

function identityText({ key, identity }: TableSchema): string {
  if (identity === 'insert-only') return 'It has no key: its inserts alone are followed'
  if (identity === 'full-row') return 'It has no key: its rows are known by all their cells'
  return `Its key is ${key.join(', ')}`
}

async function readEach(
  { control, publicationName, serverVersion }: TableCheckContext,
  tables: readonly SourceTable[],
): Promise<Readonly<Record<Publishes, PublicationState>>> {
  const ids = (isInserts: boolean): TableId[] =>
    tables.filter((table) => isInsertOnly(table) === isInserts).map(({ id }) => id)
  const second = insertsNameOf(publicationName)
  return {
    everything: await readPublication(control, publicationName, ids(false), serverVersion),
    inserts: await readPublication(control, second, ids(true), serverVersion, 'inserts'),
  }
}

/** At least one finding for every table; what grants mend is one finding for all of them. */
export async function checkTables(
  context: TableCheckContext,
  tables: readonly SourceTable[],
): Promise<readonly Finding[]> {
  const { control, publicationName } = context
  const ids = tables.map((table) => table.id)
  const found = new Map<TableId, CatalogTable>()
  for (const table of await discoverById(control, ids, context)) found.set(table.table.id, table)
  const privileges = new Map<string, ControlRow>()
  for (const row of await control.query(privilegesSql, [
    idArray(ids),
    textArray([publicationName, insertsNameOf(publicationName)]),
  ])) {
    privileges.set(row['id'] ?? '', row)
  }
  const publications = await readEach(context, tables)
  const isMade = {
    everything: publications.everything.exists,
    inserts: publications.inserts.exists,
  }
  const around = await lookAround(
    control,
    [...found.values()].map((one) => one.table),
  )
  const denied: DeniedTable[] = []
  const perTable = tables.flatMap((table): Finding[] => {
    const shown = shownTable(table.name)
    const now = found.get(table.id)
    const row = privileges.get(table.id)
    if (now === undefined || row === undefined) {
      const message = 'It does not exist any more'
      const remedy = 'Remove the table from the pipeline, or create it again.'
      const code = 'SOURCE_TABLE_MISSING'
      return [{ severity: 'error', code, subject: 'table', message, remedy, table: shown }]
    }
    // Who may not make a publication was told how to make it before the tables are looked at.
    const publishes = isInsertOnly(table) ? 'inserts' : 'everything'
    if (publishes === 'everything') isMade[publishes] ||= row['can_create'] !== 't'
    const name = publishes === 'inserts' ? insertsNameOf(publicationName) : publicationName
    const { identity } = table.schema
    const plan = { name, publishes, isMadeBefore: isMade[publishes], identity } as const
    const problems = identityFirst([
      ...problemsOf(now, row, publications[publishes], plan),
      ...surroundingProblems(now.table, around),
    ])
    isMade[publishes] ||= problems.some(({ code }) => code === 'SOURCE_PUBLICATION_INCOMPLETE')
    if (problems.length === 0) {
      const message = identityText(table.schema)
      return [{ severity: 'ok', subject: 'table', message, table: shown }]
    }
    const missing = problems.flatMap(({ message, grant }) => (grant ? [{ message, grant }] : []))
    if (missing.length > 0) denied.push({ table: now.table, problems: missing })
    return problems
      .filter(({ grant }) => grant === undefined)
      .map((problem) => ({ subject: 'table', ...problem, table: shown }))
  })
  const role = [...privileges.values()][0]?.['role'] ?? ''
  return [...grantsFinding(denied, { role, tableCount: found.size }), ...perTable]
}

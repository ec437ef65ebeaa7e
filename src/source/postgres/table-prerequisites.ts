/** What the chosen tables have to be like, one by one. */
import type { ErrorCode } from '../../base/error-codes.ts'
import type { Log } from '../../observe/log.ts'
import type { Finding } from '../finding.ts'
import type { RowIdentity, SourceTable, TableId, TableSchema } from '../table-schema.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import { type CatalogTable, discoverById } from './discover.ts'
import { insertsNameOf, isInsertOnly, publicationNamesOf } from './insert-publication.ts'
import {
  type PublicationState,
  type Publishes,
  withStoredGenerated,
  readPublication,
} from './publication.ts'
import { publicationFindings, type Unpublished } from './publication-finding.ts'
import { idArray, quoteIdentifier, shownTable, textArray } from './sql-text.ts'
import {
  type DeniedTable,
  grantsFinding,
  type HiddenTable,
  hiddenFinding,
  type MissingGrant,
  privilegeProblems,
  privilegesSql,
} from './table-privileges.ts'
import { unmetRequirements } from './table-requirements.ts'
import { lookAround, surroundingProblems, type Surroundings } from './table-surroundings.ts'

export interface TableCheckContext {
  readonly control: Control
  readonly log: Log
  readonly publicationName: string
  readonly serverVersion: number
  readonly isStandby: boolean
}

type Problem = Omit<Finding, 'subject' | 'table'> & {
  readonly subject?: string
  readonly grant?: MissingGrant
}

/** undefined when the publication offers the table, or will. */
function unpublishedOf(
  table: CatalogTable,
  row: ControlRow,
  publication: PublicationState,
  { isUnready, isStandby }: { readonly isUnready: boolean; readonly isStandby: boolean },
): Unpublished | undefined {
  // It is refused for what it is.
  if (table.kind === 'f') return undefined
  const { id } = table.table
  const problem = publication.problems.get(id)
  if (problem !== undefined && !publication.isOurs) {
    return { table: table.table, problem, isUnready }
  }
  const isIn = publication.signatures.has(id)
  const canAdd =
    !isStandby &&
    row['is_owner'] === 't' &&
    (!publication.exists || row['owns_publication'] === 't')
  return isIn || canAdd ? undefined : { table: table.table, problem: undefined, isUnready }
}

function remedyForGenerated(
  { exists, publishesGenerated }: PublicationState,
  name: string,
): string {
  const others = 'Compute them at the destination, or make them ordinary columns.'
  if (!exists || publishesGenerated !== false) return others
  const statement = `ALTER PUBLICATION ${quoteIdentifier(name)} SET (${withStoredGenerated});`
  return `For those that are stored: ${statement}\n${others}`
}

/** Published before that is mended, a table has its updates refused, or cannot be published. */
const unreadyCodes: ReadonlySet<ErrorCode> = new Set([
  'SOURCE_TABLE_WITHOUT_KEY',
  'SOURCE_REPLICA_IDENTITY',
  'SOURCE_TABLE_UNSUPPORTED',
])

function problemsOf(
  table: CatalogTable,
  row: ControlRow,
  publication: PublicationState,
  plan: { readonly name: string; readonly identity: RowIdentity | undefined },
): Problem[] {
  const unmet = unmetRequirements(table, plan.identity).map((one): Problem => ({
    severity: 'error',
    ...one,
  }))
  const problems = [...unmet, ...privilegeProblems(table, row)]
  if (table.generated.length > 0) {
    problems.push({
      severity: 'warning',
      code: 'SOURCE_COLUMN_NOT_CAPTURED',
      message: `Generated columns are left out: ${table.generated.join(', ')}`,
      remedy: remedyForGenerated(publication, plan.name),
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

/** What several tables may lack at once, told and mended for all of them together. */
interface Together {
  readonly denied: DeniedTable[]
  readonly hidden: HiddenTable[]
  readonly unpublished: Readonly<Record<Publishes, Unpublished[]>>
}

interface Looked {
  readonly found: ReadonlyMap<TableId, CatalogTable>
  readonly privileges: ReadonlyMap<string, ControlRow>
  readonly publications: Readonly<Record<Publishes, PublicationState>>
  readonly around: Surroundings
  readonly isStandby: boolean
}

async function look(context: TableCheckContext, tables: readonly SourceTable[]): Promise<Looked> {
  const { control, publicationName } = context
  const ids = tables.map((table) => table.id)
  const found = new Map<TableId, CatalogTable>()
  for (const table of await discoverById(control, ids, context)) found.set(table.table.id, table)
  const privileges = new Map<string, ControlRow>()
  for (const row of await control.query(privilegesSql, [
    idArray(ids),
    textArray(publicationNamesOf(publicationName)),
  ])) {
    privileges.set(row['id'] ?? '', row)
  }
  const publications = await readEach(context, tables)
  const around = await lookAround(
    control,
    [...found.values()].map((one) => one.table),
  )
  return { found, privileges, publications, around, isStandby: context.isStandby }
}

function nameFor(publishes: Publishes, publicationName: string): string {
  return publishes === 'inserts' ? insertsNameOf(publicationName) : publicationName
}

/** What concerns the table alone; the rest goes to `together`. */
function tableFindings(
  table: SourceTable,
  looked: Looked,
  { together, publicationName }: { readonly together: Together; readonly publicationName: string },
): Finding[] {
  const shown = shownTable(table.name)
  const now = looked.found.get(table.id)
  const row = looked.privileges.get(table.id)
  if (now === undefined || row === undefined) {
    const message = 'It does not exist any more'
    const remedy = 'Remove the table from the pipeline, or create it again.'
    const code = 'SOURCE_TABLE_MISSING'
    return [{ severity: 'error', code, subject: 'table', message, remedy, table: shown }]
  }
  const publishes = isInsertOnly(table) ? 'inserts' : 'everything'
  const publication = looked.publications[publishes]
  const { identity } = table.schema
  const plan = { name: nameFor(publishes, publicationName), identity }
  const problems = [
    ...problemsOf(now, row, publication, plan),
    ...surroundingProblems(now.table, looked.around),
  ]
  const isUnready = problems.some(({ code }) => code !== undefined && unreadyCodes.has(code))
  const unpublished = unpublishedOf(now, row, publication, {
    isUnready,
    isStandby: looked.isStandby,
  })
  if (unpublished !== undefined) together.unpublished[publishes].push(unpublished)
  else if (problems.length === 0) {
    const message = identityText(table.schema)
    return [{ severity: 'ok', subject: 'table', message, table: shown }]
  }
  const missing = problems.flatMap(({ message, grant }) => (grant ? [{ message, grant }] : []))
  if (missing.length > 0) together.denied.push({ table: now.table, problems: missing })
  const isHidden = ({ code }: Problem): boolean => code === 'SOURCE_ROW_SECURITY'
  for (const { message } of problems.filter(isHidden)) {
    together.hidden.push({ table: now.table, message })
  }
  return problems
    .filter((problem) => problem.grant === undefined && !isHidden(problem))
    .map((problem) => ({ subject: 'table', ...problem, table: shown }))
}

/** At least one finding for every table; what one statement mends is one finding for all of them. */
export async function checkTables(
  context: TableCheckContext,
  tables: readonly SourceTable[],
): Promise<readonly Finding[]> {
  const { publicationName } = context
  const looked = await look(context, tables)
  const together: Together = {
    denied: [],
    hidden: [],
    unpublished: { everything: [], inserts: [] },
  }
  const perTable = tables.flatMap((table) =>
    tableFindings(table, looked, { together, publicationName }),
  )
  const row = [...looked.privileges.values()][0]
  const role = row?.['role'] ?? ''
  const all = { role, tableCount: looked.found.size }
  return [
    ...grantsFinding(together.denied, all),
    ...hiddenFinding(together.hidden, all),
    ...perTable,
    ...(['everything', 'inserts'] as const).flatMap((publishes) => {
      // Who may not make a publication was told how to make it before the tables are looked at.
      const isToldBefore =
        publishes === 'everything' && (context.isStandby || row?.['can_create'] !== 't')
      const isInserts = publishes === 'inserts'
      return publicationFindings(together.unpublished[publishes], {
        name: nameFor(publishes, publicationName),
        publishes,
        role,
        serverVersion: context.serverVersion,
        isStandby: context.isStandby,
        isMadeBefore: looked.publications[publishes].exists || isToldBefore,
        tableCount: tables.filter((table) => isInsertOnly(table) === isInserts).length,
      })
    }),
  ]
}

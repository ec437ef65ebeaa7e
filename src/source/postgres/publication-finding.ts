/** Tables that a publication does not offer as it has to: one finding, and one script, for all of them. */
import type { Finding } from '../finding.ts'
import type { SourceTable } from '../table-schema.ts'
import { listed } from './listed.ts'
import { unmetByTables } from './prerequisite-finding.ts'
import {
  addTablesStatement,
  createStatement,
  publicationOptions,
  type Publishes,
} from './publication.ts'
import { onPrimary, quoteIdentifier, quoteTable, shownTable } from './sql-text.ts'

export interface Unpublished {
  readonly table: SourceTable
  /** undefined: it is not in the publication, and the role may not add it. */
  readonly problem: string | undefined
  /** Published as it is, it would have its updates refused by the server, or is refused itself. */
  readonly isUnready: boolean
}

export interface PublicationPlan {
  readonly name: string
  readonly publishes: Publishes
  readonly role: string
  readonly serverVersion: number
  readonly isStandby: boolean
  /** It exists, or an earlier statement of the same check makes it. */
  readonly isMadeBefore: boolean
  /** That are to be in it. */
  readonly tableCount: number
}

export function publicationFindings(
  unpublished: readonly Unpublished[],
  plan: PublicationPlan,
): Finding[] {
  return [
    ...findingOf(
      unpublished.filter(({ problem }) => problem === undefined),
      plan,
      {
        one: `It is not in publication "${plan.name}", and ${whoMayNot(plan)} it`,
        several: `are not in publication "${plan.name}", and ${whoMayNot(plan)} them`,
        statements: (tables) => addTablesStatement(plan.name, tables),
        before: plan.isMadeBefore
          ? ''
          : createStatement(plan.name, [], plan.publishes, plan.serverVersion),
      },
    ),
    ...findingOf(
      unpublished.filter(({ problem }) => problem !== undefined),
      plan,
      {
        one: `Publication "${plan.name}": `,
        several: `are not offered by publication "${plan.name}" as they have to be`,
        statements: (tables) => repairStatements(tables, plan),
        before: '',
      },
    ),
  ]
}

function whoMayNot({ role, isStandby }: PublicationPlan): string {
  return isStandby ? 'a standby can not add' : `role ${quoteIdentifier(role)} may not add`
}

function repairStatements(
  tables: readonly SourceTable[],
  { name, publishes }: PublicationPlan,
): string {
  const alter = `ALTER PUBLICATION ${quoteIdentifier(name)}`
  const list = tables.map((table) => quoteTable(table.name)).join(', ')
  return `${alter} DROP TABLE ${list}; ${addTablesStatement(name, tables)} ${alter} SET (${publicationOptions[publishes]});`
}

interface Words {
  readonly one: string
  readonly several: string
  readonly statements: (tables: readonly SourceTable[]) => string
  readonly before: string
}

function findingOf(
  unpublished: readonly Unpublished[],
  { tableCount, isStandby }: PublicationPlan,
  words: Words,
): Finding[] {
  const ready = unpublished.filter(({ isUnready }) => !isUnready)
  const late = unpublished.filter(({ isUnready }) => isUnready)
  const statements = (some: readonly Unpublished[]): string =>
    some.length === 0 ? '' : words.statements(some.map(({ table }) => table))
  const now = [words.before, statements(ready)].filter((text) => text !== '').join(' ')
  const whom = late.length > 1 ? 'them' : 'it'
  const later =
    late.length === 0
      ? ''
      : `-- once the rest that is said of ${whom} is mended: ${statements(late)}`
  const remedy = [now, later].filter((text) => text !== '').join('\n')
  const shown = unpublished.map(({ table, problem }) =>
    problem === undefined ? shownTable(table.name) : `${shownTable(table.name)} (${problem})`,
  )
  return unmetByTables(
    {
      code: 'SOURCE_PUBLICATION_INCOMPLETE',
      remedy: isStandby ? onPrimary(remedy) : remedy,
    },
    unpublished.map(({ table }) => shownTable(table.name)),
    {
      one: `${words.one}${unpublished[0]?.problem ?? ''}`,
      several: `${unpublished.length} of ${tableCount} tables ${words.several}: ${listed(shown, ', ')}`,
      subject: 'publication',
    },
  )
}

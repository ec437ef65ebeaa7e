/**
 * A table without a key: as many equal rows as the source has. An update comes as a delete of the
 * whole old row and an insert of the whole new one; what counts is how many of each distinct row
 * came and went. Rows are equal as the source tells them: NULL is NULL, NaN is NaN, -0 is not 0.
 */
import { SluiceError } from '../base/errors.ts'
import type { AddFile } from '../delta/actions.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { anyOf, exactTerm } from './exact-value.ts'
import { positionedLiveRowsSql } from './history-changes.ts'
import { fatesOf } from './mark-positions.ts'
import type { MarkedRows } from './mark-rows.ts'
import { fileColumn, positionColumn } from './scan.ts'
import { afterSql, type StagedChanges } from './staged-changes.ts'
import { stagedGroups } from './staged-groups.ts'
import { stagedRowsSql } from './staged-projection.ts'
import type { SessionTools, TableWork } from './table-work.ts'

const netTable = 'sluice_net'
const foundTable = 'sluice_found'
const termOf = (n: number): string => `__sluice_t${n}`

/** Throws DESTINATION_ROW_MISSING when a row that was deleted is not there; nothing is written then. */
export async function markMultiset(
  tools: SessionTools,
  work: TableWork,
  { files, changes }: { readonly files: readonly AddFile[]; readonly changes: StagedChanges },
): Promise<MarkedRows> {
  const { engine, table } = tools
  const { columns } = work.columns
  const list = columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  await engine.run(netSql(tools, work, changes))
  const [sum] = await engine.rows(
    `SELECT coalesce(-sum(__sluice_n) FILTER (WHERE __sluice_n < 0), 0)::BIGINT AS gone FROM ${netTable}`,
  )
  const gone = BigInt(sum?.['gone'] as bigint)
  const survivors = `SELECT ${list} FROM (
    SELECT ${list}, unnest(range(__sluice_n)) AS __sluice_copy FROM ${netTable} WHERE __sluice_n > 0)`
  if (gone === 0n) {
    return {
      fates: files.map((file) => ({ file, deadPositions: undefined, isGone: false })),
      survivors,
    }
  }
  if (files.length === 0) throw rowMissing(gone)
  const names = columns.map(({ name }) => name)
  const live = await positionedLiveRowsSql(engine, table, files, names)
  const terms = columns.map((column, n) => `${exactTerm(column)} AS ${termOf(n)}`).join(', ')
  const same = columns.map((_, n) => `s.${termOf(n)} IS NOT DISTINCT FROM g.${termOf(n)}`)
  const rank = `row_number() OVER (PARTITION BY g.__sluice_id ORDER BY s.${fileColumn}, s.${positionColumn})`
  await engine.run(`CREATE TEMP TABLE ${foundTable} AS
    SELECT s.${fileColumn}, s.${positionColumn}
    FROM (SELECT ${terms}, ${fileColumn}, ${positionColumn} FROM ${live}) s
    JOIN (SELECT * FROM ${netTable} WHERE __sluice_n < 0) g ON ${same.join(' AND ')}
    QUALIFY ${rank} <= -any_value(g.__sluice_n) OVER (PARTITION BY g.__sluice_id)`)
  const [found] = await engine.rows(`SELECT count(*) AS count FROM ${foundTable}`)
  const missing = gone - BigInt(found?.['count'] as bigint)
  if (missing > 0n) throw rowMissing(missing)
  const dead = `SELECT ${fileColumn}, ${positionColumn} FROM ${foundTable}`
  return { fates: await fatesOf(engine, table, { files, candidates: files, dead }), survivors }
}

/** Distinct rows, each with how many more of it there are afterwards. */
function netSql(tools: SessionTools, work: TableWork, changes: StagedChanges): string {
  const { columns } = work
  const { after, files, absentPaths } = changes
  const staged = stagedRowsSql(stagedGroups(tools, work, files, absentPaths), columns, {
    extra: ['_op'],
    ...(after !== undefined && { where: afterSql(after) }),
  })
  const terms = columns.columns.map((column, n) => `${exactTerm(column)} AS ${termOf(n)}`)
  const groups = columns.columns.map((_, n) => termOf(n)).join(', ')
  const values = columns.columns.map(
    (column) => `${anyOf(column)} AS ${quoteIdentifier(column.name)}`,
  )
  return `CREATE TEMP TABLE ${netTable} AS
    SELECT *, row_number() OVER () AS __sluice_id FROM (
      SELECT ${groups}, ${values.join(', ')},
        sum(CASE WHEN _op = 'd' THEN -1 ELSE 1 END)::BIGINT AS __sluice_n
      FROM (SELECT *, ${terms.join(', ')} FROM (${staged})) GROUP BY ${groups})
    WHERE __sluice_n <> 0`
}

function rowMissing(count: bigint): SluiceError {
  const text = `${count} deleted rows of a table without a key are not in the destination`
  return new SluiceError('DESTINATION_ROW_MISSING', text)
}

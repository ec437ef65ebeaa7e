/**
 * Append-only: every change becomes a row of its own, with its kind, commit time and place in the
 * source's order. Nothing that stands in the table is ever touched.
 */
import type { AddFile } from '../delta/actions.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { currentRowsSql } from './current-rows.ts'
import type { DestinationColumns } from './destination-columns.ts'
import type { DestinationState } from './destination-state.ts'
import {
  changeTypeColumn,
  commitTimeColumn,
  firstCopyOrdinal,
  ordinalColumn,
  sequenceColumn,
} from './destination-kind.ts'
import { anyOf, exactRow, exactTerm, isLast, partitionTerms } from './exact-value.ts'
import {
  filledChangesSql,
  opColumn,
  orderOf,
  placeColumn,
  readHistoryChanges,
  timeColumn,
  transactionColumn,
} from './history-changes.ts'
import { copyRowsSql } from './superseded-rows.ts'
import type { MarkedRows } from './mark-rows.ts'
import { liveRowsOfFilesSql } from './read-table.ts'
import { orderColumn } from './reduce-changes.ts'
import type { StagedHistory } from './staged-changes.ts'
import type { SessionTools, TableWork } from './table-work.ts'
import { engineTypeOf } from './type-mapping.ts'

const priorTable = 'sluice_prior'
const nextTable = 'sluice_next'
const ordinalTable = 'sluice_ordinal'

export async function appendChanges(
  tools: SessionTools,
  work: TableWork,
  input: {
    readonly files: readonly AddFile[]
    readonly history: StagedHistory
    readonly state: DestinationState
  },
): Promise<MarkedRows> {
  const { engine, table } = tools
  const { columns } = work
  const { files, history, state } = input
  let { sequenceBase: base } = state
  const comparesCopy = work.kind === 'load' && work.history !== 'replaced'
  const read = await readHistoryChanges(engine, tools, work, history)
  if (comparesCopy || read.hasAbsentCells) {
    const stored = { all: columns.stored, wanted: columns.stored }
    const live = await liveRowsOfFilesSql(engine, table, files, stored)
    await engine.run(
      `CREATE TEMP TABLE ${priorTable} AS SELECT * FROM ${currentRowsSql(live, columns)}`,
    )
    if (comparesCopy) {
      base = await baseFor(engine, work, { live, base })
      await engine.run(
        `CREATE TEMP TABLE ${ordinalTable} AS ${copyOrdinalSql(placeOfCopy(work, base), live)};
         CREATE TEMP TABLE ${nextTable} AS ${await copyRowsSql(engine, tools, work)}`,
      )
    }
  }
  const changes = await filledChangesSql(engine, read, columns, {
    wanted: 'all',
    stored: comparesCopy ? nextTable : priorTable,
  })
  const selects = comparesCopy && work.history === 'continued' ? [differenceSql(work, base)] : []
  if (work.history === 'compared' && comparesCopy) {
    await engine.run(foldSql(columns, changes, history))
    selects.push(differenceSql(work, base))
  } else {
    selects.push(changeRowsSql(columns, changes, base), ...truncateRowsSql(columns, history, base))
  }
  return {
    fates: files.map((file) => ({ file, deadPositions: undefined, isGone: false })),
    survivors: selects.join(' UNION ALL '),
    sequenceBase: base,
  }
}

/**
 * What is added to staged sequences from this copy on. It comes after all that the table holds, also
 * where its sequence does not: those of another staging volume began anew.
 */
async function baseFor(
  engine: SessionTools['engine'],
  work: TableWork,
  { live, base }: { readonly live: string; readonly base: bigint },
): Promise<bigint> {
  const [row] = await engine.rows(
    `SELECT max(${sequenceColumn} + (${ordinalColumn} >= 0)::BIGINT)::BIGINT AS least FROM ${live}`,
  )
  const least = BigInt((row?.['least'] as bigint | null | undefined) ?? 0n)
  return placeOfCopy(work, base) >= least ? base : least - placeOfCopy(work, 0n)
}

function placeOfCopy({ copy }: TableWork, base: bigint): bigint {
  return (copy?.sequence ?? 0n) + base
}

/** After every copy that stands at the same sequence. */
function copyOrdinalSql(sequence: bigint, live: string): string {
  return `SELECT coalesce(max(${ordinalColumn}) + 1, ${firstCopyOrdinal})::INTEGER AS ordinal
    FROM ${live} WHERE ${sequenceColumn} = ${sequence} AND ${ordinalColumn} < 0`
}

const listOf = ({ columns }: DestinationColumns): string =>
  columns.map(({ name }) => quoteIdentifier(name)).join(', ')

function changeRowsSql(columns: DestinationColumns, changes: string, base: bigint): string {
  return `SELECT ${listOf(columns)},
      CASE ${opColumn} WHEN 'd' THEN 'delete' WHEN 'u' THEN 'update' ELSE 'insert' END
        AS ${changeTypeColumn},
      make_timestamptz(${timeColumn}) AS ${commitTimeColumn},
      ${transactionColumn} + ${base} AS ${sequenceColumn}, ${placeColumn} AS ${ordinalColumn}
    FROM (${changes})`
}

/** A row without cells: from here on the table was empty. */
function truncateRowsSql(
  columns: DestinationColumns,
  history: StagedHistory,
  base: bigint,
): readonly string[] {
  const cells = columns.columns.map(({ type }) => `NULL::${engineTypeOf(type)}`).join(', ')
  return history.truncates.map(
    ({ sequence, ordinal, commitTimeUs }) =>
      `SELECT ${cells}, 'truncate', ${commitTimeUs === undefined ? 'NULL' : `make_timestamptz(${commitTimeUs})`},
        ${sequence + base}::BIGINT, ${ordinal}::INTEGER`,
  )
}

/** What has to be appended to `prior` so that it becomes `next`, as one moment before all changes. */
function differenceSql(work: TableWork, base: bigint): string {
  const { columns, copy } = work
  const list = listOf(columns)
  const marks = (changeType: string): string => `${changeType} AS ${changeTypeColumn},
    make_timestamptz(${copy?.takenAtUs ?? 0n}) AS ${commitTimeColumn},
    ${placeOfCopy(work, base)}::BIGINT AS ${sequenceColumn},
    (SELECT ordinal FROM ${ordinalTable}) AS ${ordinalColumn}`
  if (columns.key.length > 0) {
    const keys = columns.key.map(quoteIdentifier).join(', ')
    const row = exactRow(columns.columns)
    return `SELECT ${list}, ${marks(`CASE WHEN __sluice_before IS NULL THEN 'insert' ELSE 'update' END`)}
      FROM (SELECT n.*, p.__sluice_before FROM ${nextTable} n
        LEFT JOIN (SELECT ${keys}, ${row} AS __sluice_before FROM ${priorTable}) p USING (${keys}))
      WHERE __sluice_before IS DISTINCT FROM ${row}
      UNION ALL SELECT ${list}, ${marks(`'delete'`)}
      FROM ${priorTable} ANTI JOIN ${nextTable} USING (${keys})`
  }
  const values = columns.columns.map(
    (column) => `${anyOf(column)} AS ${quoteIdentifier(column.name)}`,
  )
  const terms = columns.columns.map((column, n) => `${exactTerm(column)} AS __sluice_t${n}`)
  const groups = columns.columns.map((_, n) => `__sluice_t${n}`).join(', ')
  const net = `SELECT ${values.join(', ')}, sum(__sluice_n)::BIGINT AS __sluice_n
    FROM (SELECT *, ${terms.join(', ')} FROM (SELECT ${list}, 1 AS __sluice_n FROM ${nextTable}
      UNION ALL SELECT ${list}, -1 FROM ${priorTable})) GROUP BY ${groups}`
  const copies = (count: string, changeType: string): string =>
    `SELECT ${list}, ${marks(changeType)}
     FROM (SELECT *, unnest(range(${count})) AS __sluice_copy FROM (${net}))`
  const inserts = copies('__sluice_n', `'insert'`)
  // What an insert-only table has lost since is none of its business.
  if (columns.staged.identity === 'insert-only') return inserts
  return `${inserts} UNION ALL ${copies('-__sluice_n', `'delete'`)}`
}

/** Makes `next` what copy and changes come to. */
function foldSql(columns: DestinationColumns, changes: string, history: StagedHistory): string {
  const list = listOf(columns)
  const truncate = history.truncates.at(-1)
  const after = truncate === undefined ? -2n : orderOf(history, truncate)
  const all = `SELECT * FROM (SELECT ${list}, 'i' AS ${opColumn}, -1::BIGINT AS ${orderColumn}
      FROM ${nextTable} UNION ALL SELECT ${list}, ${opColumn}, ${orderColumn} FROM (${changes}))
    WHERE ${orderColumn} > ${after}`
  const folded = 'sluice_folded'
  const rename = `; DROP TABLE ${nextTable}; ALTER TABLE ${folded} RENAME TO ${nextTable}`
  if (columns.key.length > 0) {
    const keys = partitionTerms(columns.key, columns.columns)
    return `CREATE TEMP TABLE ${folded} AS SELECT ${list} FROM (${all} QUALIFY ${isLast(keys, orderColumn)}) WHERE ${opColumn} <> 'd'${rename}`
  }
  const values = columns.columns.map((column, n) => `${anyOf(column)} AS __sluice_c${n}`)
  const names = columns.columns.map(({ name }, n) => `__sluice_c${n} AS ${quoteIdentifier(name)}`)
  return `CREATE TEMP TABLE ${folded} AS SELECT ${names.join(', ')} FROM (
    SELECT ${values.join(', ')},
      unnest(range(sum(CASE ${opColumn} WHEN 'd' THEN -1 ELSE 1 END)::BIGINT))
    FROM (${all}) GROUP BY ${columns.columns.map(exactTerm).join(', ')})${rename}`
}

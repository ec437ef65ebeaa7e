/**
 * SCD type 2: from staged changes to versions that begin and versions that end. One version per key
 * and transaction, the last state in it; a change that changes no value makes none. Times are the
 * source's commit times, moved on by a microsecond where they stand still or go back, so that the
 * order of times is the order of transactions and no version is empty.
 */
import type { AddFile } from '../delta/actions.ts'
import { parseDeltaStats } from '../delta/statistics.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { DestinationState } from './destination-state.ts'
import { endColumn, startColumn } from './destination-kind.ts'
import { exactRow, isLast, partitionTerms } from './exact-value.ts'
import {
  filledChangesSql,
  opColumn,
  orderOf,
  positionedLiveRowsSql,
  readHistoryChanges,
  timeColumn,
  transactionColumn,
  type HistoryChanges,
} from './history-changes.ts'
import { copyRowsSql } from './superseded-rows.ts'
import { fatesOf } from './mark-positions.ts'
import type { MarkedRows } from './mark-rows.ts'
import { emptyRelation } from './read-table.ts'
import { mayHoldKeys } from './prune-files.ts'
import { orderColumn } from './reduce-changes.ts'
import { fileColumn, positionColumn } from './scan.ts'
import type { StagedHistory } from './staged-changes.ts'
import type { SessionTools, TableWork } from './table-work.ts'
import { engineTypeOf } from './type-mapping.ts'

/** Temporary tables. */
const openTable = 'sluice_open'
const copyTable = 'sluice_copy'
const timesTable = 'sluice_times'
const statesTable = 'sluice_states'
const versionsTable = 'sluice_versions'

export interface VersionsInput {
  /** Those whose rows are already as the destination's columns are. */
  readonly files: readonly AddFile[]
  readonly history: StagedHistory
  readonly state: DestinationState
}

/** `op` of the open versions, beside those of changes. */
const openOp = 'o'

export async function markVersions(
  tools: SessionTools,
  work: TableWork,
  input: VersionsInput,
): Promise<MarkedRows> {
  const { engine, table } = tools
  const { columns } = work
  const { files, history, state } = input
  const comparesCopy = work.kind === 'load' && work.history !== 'replaced'
  const read = await readHistoryChanges(engine, tools, work, history)
  const all = comparesCopy || history.truncates.length > 0
  const range = all ? undefined : read.keyRange
  const candidates = files.filter(
    (file) => mayHoldOpen(file) && (range === undefined || mayHoldKeys(file.stats, range)),
  )
  await loadOpen(tools, work, { candidates, all })
  if (comparesCopy)
    await engine.run(`CREATE TEMP TABLE ${copyTable} AS ${await copyRowsSql(engine, tools, work)}`)
  const baseUs = baseTime(work, state)
  await engine.run(timesSql(read, history, baseUs))
  const stored = comparesCopy ? copyTable : openTable
  const changes = await filledChangesSql(engine, read, columns, {
    wanted: 'last-of-transaction',
    stored,
  })
  // Versions of rows under another key can not be continued: they end, and the copy's begin.
  const isSameKey = !comparesCopy || JSON.stringify(state.key) === JSON.stringify(columns.key)
  const collapses = comparesCopy && work.history === 'compared'
  const plan = { changes, history, baseUs, comparesCopy, collapses, isSameKey }
  await engine.run(`${statesSql(work, plan)}; ${versionsSql(work, plan)}`)
  const ended = `__sluice_op = '${openOp}' AND __sluice_until IS NOT NULL`
  const fates = await fatesOf(engine, table, {
    files,
    candidates,
    dead: `SELECT ${fileColumn}, ${positionColumn} FROM ${versionsTable} WHERE ${ended}`,
  })
  const list = columns.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  const [clock] = await engine.rows(`SELECT max(__sluice_at) AS at FROM ${timesTable}`)
  const lastUs = typeof clock?.['at'] === 'bigint' ? clock['at'] : baseUs
  return {
    fates,
    survivors: `SELECT ${list}, make_timestamptz(__sluice_at) AS ${startColumn},
        make_timestamptz(__sluice_until) AS ${endColumn}
      FROM ${versionsTable} WHERE (__sluice_op <> '${openOp}' AND __sluice_op <> 'd') OR (${ended})`,
    clockUs: lastUs > baseUs ? lastUs : baseUs,
  }
}

/** Every time that this work makes is later than it; a copy's rows begin at it. */
export function baseTime({ kind, copy }: TableWork, { clockUs }: DestinationState): bigint {
  const takenAtUs = kind === 'load' ? (copy?.takenAtUs ?? 0n) : 0n
  return takenAtUs > clockUs ? takenAtUs : kind === 'load' ? clockUs + 1n : clockUs
}

/** False only when the file's statistics prove that all its versions have ended. */
function mayHoldOpen({ stats }: AddFile): boolean {
  return parseDeltaStats(stats)?.nullCount.get(endColumn) !== '0'
}

/** The open versions: of the keys that changed, or all. */
async function loadOpen(
  { engine, table }: SessionTools,
  { columns }: TableWork,
  { candidates, all }: { readonly candidates: readonly AddFile[]; readonly all: boolean },
): Promise<void> {
  const names = columns.stored.map(({ name }) => name)
  const list = columns.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  const place = `NULL::INTEGER AS ${fileColumn}, NULL::BIGINT AS ${positionColumn}`
  const keys = columns.key.map(quoteIdentifier).join(', ')
  const rows =
    candidates.length === 0
      ? `(SELECT *, ${place} FROM (${emptyRelation(columns.stored)}))`
      : await positionedLiveRowsSql(engine, table, candidates, names)
  const semi = all ? '' : `SEMI JOIN sluice_latest USING (${keys})`
  await engine.run(
    `CREATE TEMP TABLE ${openTable} AS
     SELECT ${list}, epoch_us(${startColumn}) AS __sluice_at, ${fileColumn}, ${positionColumn}
     FROM (SELECT * FROM ${rows} WHERE ${endColumn} IS NULL) ${semi}`,
  )
}

/** When each transaction took effect: later than `baseUs` and than every transaction before it. */
function timesSql(read: HistoryChanges, history: StagedHistory, baseUs: bigint): string {
  const truncates = history.truncates.map(
    ({ sequence, commitTimeUs }) =>
      `UNION ALL SELECT ${sequence}::BIGINT, ${commitTimeUs ?? 'NULL'}::BIGINT`,
  )
  return `CREATE TEMP TABLE ${timesTable} AS
    SELECT seq AS ${transactionColumn},
      greatest(${baseUs}::BIGINT, max(time - n) OVER (ORDER BY seq)) + n AS __sluice_at
    FROM (SELECT seq, time, row_number() OVER (ORDER BY seq) AS n
      FROM (SELECT seq, max(time) AS time FROM (
        SELECT ${transactionColumn} AS seq, ${timeColumn} AS time FROM ${read.changes}
        ${truncates.join(' ')}) GROUP BY seq))`
}

interface StatesPlan {
  /** Query of the changes, cells filled in. */
  readonly changes: string
  readonly history: StagedHistory
  readonly baseUs: bigint
  readonly comparesCopy: boolean
  /** Copy and changes are one event: they are in the history already. */
  readonly collapses: boolean
  readonly isSameKey: boolean
}

/** All states of every key in order: the open version, then what came; with what went before each. */
function statesSql({ columns }: TableWork, plan: StatesPlan): string {
  const { baseUs, comparesCopy, isSameKey } = plan
  const list = columns.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  const keys = columns.key.map(quoteIdentifier).join(', ')
  const partition = partitionTerms(columns.key, columns.columns)
  const nowhere = `NULL::INTEGER AS ${fileColumn}, NULL::BIGINT AS ${positionColumn}`
  const selects = [
    `SELECT ${list}, __sluice_op, __sluice_ord, t.__sluice_at, ${nowhere}
     FROM (${eventsSql(columns, plan)}) e JOIN ${timesTable} t USING (${transactionColumn})`,
  ]
  if (comparesCopy) {
    selects.push(`SELECT ${list}, 'i', -1, ${baseUs}, ${nowhere} FROM ${copyTable}`)
  }
  if (comparesCopy && isSameKey) {
    selects.push(`SELECT ${list}, 'd', -1, ${baseUs}, ${nowhere}
      FROM ${openTable} ANTI JOIN ${copyTable} USING (${keys})`)
  }
  const incoming = selects.join(' UNION ALL ')
  const all = [
    plan.collapses
      ? `SELECT * REPLACE (${baseUs} AS __sluice_at) FROM (${incoming})
         QUALIFY ${isLast(partition, '__sluice_ord')}`
      : incoming,
  ]
  if (isSameKey) {
    all.push(
      `SELECT ${list}, '${openOp}', -2, __sluice_at, ${fileColumn}, ${positionColumn} FROM ${openTable}`,
    )
  }
  const row = exactRow(columns.columns)
  return `CREATE TEMP TABLE ${statesTable} AS
    SELECT *, lag(__sluice_op) OVER w AS __sluice_before, lag(${row}) OVER w IS NOT DISTINCT FROM ${row} AS __sluice_same
    FROM (${all.map((select) => `(${select})`).join(' UNION ALL ')}) WINDOW w AS (PARTITION BY ${partition.join(', ')} ORDER BY __sluice_ord)`
}

/** The last state of each key in each transaction; a truncate is a delete of every key. */
function eventsSql(
  columns: TableWork['columns'],
  { changes, history, comparesCopy }: StatesPlan,
): string {
  const list = columns.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  const keys = columns.key.map(quoteIdentifier).join(', ')
  const selects = [
    `SELECT ${list}, ${opColumn} AS __sluice_op, ${orderColumn} AS __sluice_ord, ${transactionColumn} FROM (${changes})`,
  ]
  if (history.truncates.length > 0) {
    const relations = [openTable, 'sluice_latest', ...(comparesCopy ? [copyTable] : [])]
    const all = relations.map((name) => `SELECT ${keys} FROM ${name}`).join(' UNION ')
    const cells = columns.columns.map(({ name, type }) =>
      columns.key.includes(name)
        ? quoteIdentifier(name)
        : `NULL::${engineTypeOf(type)} AS ${quoteIdentifier(name)}`,
    )
    const places = history.truncates.map(
      (truncate) => `(${orderOf(history, truncate)}::BIGINT, ${truncate.sequence}::BIGINT)`,
    )
    selects.push(`SELECT ${cells.join(', ')}, 'd', __sluice_ord, ${transactionColumn}
      FROM (${all}) CROSS JOIN (VALUES ${places.join(', ')}) AS t (__sluice_ord, ${transactionColumn})`)
  }
  return `SELECT * FROM (${selects.join(' UNION ALL ')}) QUALIFY
    ${isLast([...partitionTerms(columns.key, columns.columns), transactionColumn], '__sluice_ord')}`
}

/** The states that make a difference, each with the time at which the next one ends it. */
function versionsSql({ columns }: TableWork, { baseUs, isSameKey }: StatesPlan): string {
  const list = columns.columns.map(({ name }) => quoteIdentifier(name)).join(', ')
  const keys = partitionTerms(columns.key, columns.columns).join(', ')
  const lives = `coalesce(__sluice_before, 'd') <> 'd'`
  const select = `SELECT ${list}, __sluice_op, __sluice_at, ${fileColumn}, ${positionColumn},
      lead(__sluice_at) OVER (PARTITION BY ${keys} ORDER BY __sluice_ord) AS __sluice_until
    FROM ${statesTable} WHERE CASE __sluice_op WHEN '${openOp}' THEN true WHEN 'd' THEN ${lives}
      ELSE NOT (${lives} AND __sluice_same) END`
  const others = `SELECT ${list}, '${openOp}', __sluice_at, ${fileColumn}, ${positionColumn}, ${baseUs}
    FROM ${openTable}`
  return `CREATE TEMP TABLE ${versionsTable} AS ${select}${isSameKey ? '' : ` UNION ALL ${others}`}`
}

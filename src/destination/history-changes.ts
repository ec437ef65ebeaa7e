/**
 * Staged changes for a destination that keeps what was before: every change counts, in order, with
 * its transaction. All in temporary tables of a session that serves one attempt.
 */
import type { AddFile } from '../delta/actions.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { localDataFile } from './data-path.ts'
import type { DestinationColumns } from './destination-columns.ts'
import {
  filledSql,
  gatherCells,
  unknownCell,
  unknownTable,
  type GatherInput,
} from './fill-absent.ts'
import { deadPositionsOf } from './mark-rows.ts'
import { emptyRelation, loadPositions } from './read-table.ts'
import type { KeyRange } from './prune-files.ts'
import { changesTable, keyNumberColumn, keyRangeOf, orderColumn } from './reduce-changes.ts'
import { fileColumn, positionColumn, positionedScanSql } from './scan.ts'
import type { StagedHistory } from './staged-changes.ts'
import { stagedGroups } from './staged-groups.ts'
import { quarantinedColumn, stagedRowsSql } from './staged-projection.ts'
import type { TableTools, TableWork } from './table-work.ts'

/** Columns beside the destination's: transaction, place in it, and commit time in microseconds. */
export const transactionColumn = '__sluice_seq'
export const placeColumn = '__sluice_ord'
export const timeColumn = '__sluice_time'
export const opColumn = '_op'

const latestTable = 'sluice_latest'
const extraTypes = {
  [opColumn]: 'VARCHAR',
  [orderColumn]: 'BIGINT',
  [transactionColumn]: 'BIGINT',
  [placeColumn]: 'INTEGER',
  [timeColumn]: 'BIGINT',
}

type WorkSchemas = Pick<TableWork, 'columns' | 'upgrades'>

export interface HistoryChanges {
  /** Relation of all changes, the destination's columns and the extra ones; cells not filled in. */
  readonly changes: string
  /** Relation of the keys, with numbers. */
  readonly latest: string
  readonly keyCount: number
  /** Of the first key column; undefined when there is none, or no change, or no useful order. */
  readonly keyRange: KeyRange | undefined
  readonly hasAbsentCells: boolean
  /** `changes` says which rows go to quarantine (`quarantinedColumn`). */
  readonly quarantines: boolean
}

/** Makes the relations; there may be no file at all. */
export async function readHistoryChanges(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  work: WorkSchemas,
  history: StagedHistory,
): Promise<HistoryChanges> {
  const { columns } = work
  const key = columns.key.map(quoteIdentifier)
  const absent = history.hasAbsent
    ? `coalesce(bool_or(${opColumn} <> 'd' AND _absent IS NOT NULL), false)`
    : 'false'
  const latest = [...key, 'row_number() OVER () - 1 AS ' + keyNumberColumn].join(', ')
  const first = key[0] ?? 'NULL'
  const grouped = key.length === 0 ? '' : `GROUP BY ${key.join(', ')}`
  const [summary] = await engine.rows(
    `CREATE TEMP TABLE ${changesTable} AS ${changesSql(tools, work, history)};
     CREATE TEMP TABLE ${latestTable} AS SELECT ${latest} FROM ${changesTable} ${grouped};
     SELECT (SELECT count(*) FROM ${latestTable}) AS keys, min(${first})::VARCHAR AS min,
       max(${first})::VARCHAR AS max, ${absent} AS absent FROM ${changesTable}`,
  )
  return {
    changes: changesTable,
    latest: latestTable,
    keyCount: Number(summary?.['keys'] ?? 0),
    keyRange: keyRangeOf(columns, summary?.['min'], summary?.['max']),
    hasAbsentCells: summary?.['absent'] === true,
    quarantines: columns.unfit === 'quarantine',
  }
}

function changesSql(
  tools: Pick<TableTools, 'staging'>,
  work: WorkSchemas,
  { files, absentPaths, firstSequence }: StagedHistory,
): string {
  const { columns } = work
  if (files.length === 0) {
    const extra = Object.entries(extraTypes).map(([name, type]) => `NULL::${type} AS ${name}`)
    if (columns.unfit === 'quarantine') extra.push(`false AS ${quarantinedColumn}`)
    return `SELECT *, ${extra.join(', ')} FROM (${emptyRelation(columns.columns)})`
  }
  return stagedRowsSql(stagedGroups(tools, work, files, absentPaths), columns, {
    marksQuarantined: true,
    extra: [
      opColumn,
      `(_seq - ${firstSequence}) * 4294967296 + _ord AS ${orderColumn}`,
      `_seq AS ${transactionColumn}`,
      `_ord AS ${placeColumn}`,
      `epoch_us(_commit_ts) AS ${timeColumn}`,
    ],
  })
}

/** Where a truncate stands among the changes. */
export function orderOf(
  { firstSequence }: StagedHistory,
  { sequence, ordinal }: { readonly sequence: bigint; readonly ordinal: number },
): bigint {
  return (sequence - firstSequence) * 4294967296n + BigInt(ordinal)
}

/**
 * Query of all changes, absent cells of those that are `wanted` filled in. `stored`: a relation of
 * the rows as they were before the first change, at most one per key.
 */
export async function filledChangesSql(
  engine: EngineStatements,
  read: HistoryChanges,
  columns: DestinationColumns,
  { wanted, stored }: { readonly wanted: GatherInput['wanted']; readonly stored: string },
): Promise<string> {
  const names = columns.columns.map(({ name }) => name)
  const extra = Object.keys(extraTypes)
  const plain = `SELECT ${[...names.map(quoteIdentifier), ...extra].join(', ')} FROM ${read.changes}`
  if (!read.hasAbsentCells) return withoutQuarantined(read, columns, plain)
  if (columns.key.length === 0) throw unknownCell('the table has no key')
  const using = columns.key.map(quoteIdentifier).join(', ')
  const storedRows: GatherInput['storedRows'] = async (keys, given) => {
    const list = [keyNumberColumn, ...given.map(quoteIdentifier)].join(', ')
    const relation = `(SELECT ${list} FROM ${stored} JOIN ${read.latest} USING (${using}))`
    await engine.load('sluice_wanted', [
      { name: keyNumberColumn, type: 'BIGINT', values: [...keys] },
    ])
    const missing = await engine.rows(
      `SELECT ${keyNumberColumn} AS number FROM sluice_wanted ANTI JOIN ${relation} USING (${keyNumberColumn})`,
    )
    return { rows: relation, missing: new Set(missing.map(({ number }) => number as bigint)) }
  }
  const filled = await gatherCells(engine, { reduced: read, columns, wanted, storedRows })
  const changes =
    filled.size === 0 ? plain : filledSql(`SELECT * FROM ${read.changes}`, names, filled, extra)
  return withoutQuarantined(read, columns, changes)
}

/**
 * A change that goes to quarantine takes the row of its key away, as a delete does; without a key
 * there is nothing to take away.
 */
function withoutQuarantined(
  { changes, hasAbsentCells, quarantines }: HistoryChanges,
  { key }: DestinationColumns,
  rows: string,
): string {
  if (!quarantines) return rows
  const unknown = hasAbsentCells ? ` UNION SELECT ${orderColumn} FROM ${unknownTable}` : ''
  const gone = `(SELECT ${orderColumn} FROM ${changes} WHERE ${quarantinedColumn}${unknown})`
  if (key.length === 0) return `SELECT * FROM (${rows}) ANTI JOIN ${gone} USING (${orderColumn})`
  return `SELECT * REPLACE (CASE WHEN ${orderColumn} IN ${gone} THEN 'd' ELSE ${opColumn} END AS ${opColumn})
    FROM (${rows})`
}

/** The rows of `files` that live: all their columns, the file's number and the position. */
export async function positionedLiveRowsSql(
  engine: EngineStatements,
  table: DeltaTable,
  files: readonly AddFile[],
  columns: readonly string[],
): Promise<string> {
  const dead = 'sluice_dead_before'
  const vectors = await Promise.all(files.map((file) => deadPositionsOf(table, file)))
  const paths = files.map((file) => localDataFile(table, file))
  const scan = positionedScanSql(paths, columns, columns)
  if (vectors.every((vector) => vector.length === 0)) return scan
  await loadPositions(engine, dead, vectors)
  return `(SELECT * FROM ${scan} ANTI JOIN ${dead} USING (${fileColumn}, ${positionColumn}))`
}

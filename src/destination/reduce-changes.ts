/**
 * From staged change files to the last change of every key. All in the engine: no row becomes an
 * object here. Key equality is the engine's plain equality, which is the source's: texts by bytes,
 * decimals and times exactly, NaN equal to NaN, -0 equal to 0.
 */
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { DestinationColumns } from './destination-columns.ts'
import type { KeyRange } from './prune-files.ts'
import { afterSql } from './staged-changes.ts'
import { quarantinedColumn, stagedRowsSql, type StagedFiles } from './staged-projection.ts'

/** `(_seq - first) · 2³² + _ord`: one int64 that orders the changes and names each of them. */
export const orderColumn = '__sluice_order'
/** Relation of all changes. */
export const changesTable = 'sluice_changes'
/** Dense number of a key, from 0; of use only when some file has absent cells. */
export const keyNumberColumn = '__sluice_key'

export interface ChangeFiles {
  readonly groups: readonly StagedFiles[]
  readonly bytes: number
  /** Changes in them that count, when that is known. */
  readonly rows?: number | undefined
  /** Some of them have an `_absent` column. */
  readonly hasAbsent: boolean
  /** Smallest `_seq` of all of them. */
  readonly firstSequence: bigint
  /** Only changes after this one count: the last truncate. */
  readonly after: { readonly sequence: bigint; readonly ordinal: number } | undefined
}

/** The reduced changes, as temporary tables of a session that serves one attempt and is then closed. */
export interface ReducedChanges {
  /** Relation of all changes that count: the destination's columns, `_op`, the order, `_absent` if any file has it. */
  readonly changes: string
  /** Relation of the last change of each key: key columns, order, key number. */
  readonly latest: string
  readonly keyCount: number
  /** No key has more than one change: every change is the last of its key. */
  readonly isUnique: boolean
  /** Of the first key column; undefined when there is no change or the type has no useful order. */
  readonly keyRange: KeyRange | undefined
  /** Some change other than a delete has absent cells. */
  readonly hasAbsentCells: boolean
  /** `changes` says which rows go to quarantine (`quarantinedColumn`). */
  readonly quarantines: boolean
}

/**
 * With absent cells the changes are read several times: up to this many staged bytes they are kept.
 * Otherwise keys are read first and rows once, which costs no more than keeping them.
 */
const keptBytes = 64 * 2 ** 20

export async function reduceChanges(
  engine: EngineStatements,
  files: ChangeFiles,
  columns: DestinationColumns,
): Promise<ReducedChanges> {
  const latest = 'sluice_latest'
  const changes = changesTable
  const kind = files.hasAbsent && files.bytes <= keptBytes ? 'TABLE' : 'VIEW'
  const keys = columns.key.map(quoteIdentifier).join(', ')
  const absent = files.hasAbsent
    ? `coalesce(bool_or(_op <> 'd' AND _absent IS NOT NULL), false)`
    : 'false'
  // Numbers are for carrying cells over; they are the dear part of small updates.
  const number = files.hasAbsent ? 'row_number() OVER () - 1' : '0::BIGINT'
  const first = quoteIdentifier(columns.key[0] ?? '')
  const [summary] = await engine.rows(
    `CREATE TEMP ${kind} ${changes} AS ${changesSql(files, columns)};
     CREATE TEMP TABLE ${latest} AS
     SELECT *, ${number} AS ${keyNumberColumn}
     FROM (SELECT ${keys}, max(${orderColumn}) AS ${orderColumn}, ${absent} AS __sluice_absent
           FROM ${changes} GROUP BY ${keys});
     SELECT count(*) AS count, min(${first})::VARCHAR AS min, max(${first})::VARCHAR AS max,
       coalesce(bool_or(__sluice_absent), false) AS absent FROM ${latest}`,
  )
  const keyCount = Number(summary?.['count'] ?? 0)
  return {
    changes,
    latest,
    keyCount,
    isUnique: keyCount === files.rows,
    keyRange: keyRangeOf(columns, summary?.['min'], summary?.['max']),
    hasAbsentCells: summary?.['absent'] === true,
    quarantines: columns.unfit === 'quarantine',
  }
}

function changesSql(files: ChangeFiles, columns: DestinationColumns): string {
  const order = `(_seq - ${files.firstSequence}) * 4294967296 + _ord AS ${orderColumn}`
  return stagedRowsSql(files.groups, columns, {
    extra: ['_op', order],
    marksQuarantined: true,
    ...(files.after !== undefined && { where: afterSql(files.after) }),
  })
}

export function keyRangeOf(
  columns: DestinationColumns,
  min: unknown,
  max: unknown,
): KeyRange | undefined {
  const column = columns.columns.find(({ name }) => name === columns.key[0])
  if (column === undefined || typeof min !== 'string' || typeof max !== 'string') return undefined
  return { column: column.name, type: column.type, min, max }
}

/** Rows that the changes leave behind, without absent cells filled in. */
export function survivorsSql(reduced: ReducedChanges, list: string): string {
  // Finding the last changes among millions costs several times what reading them does.
  const last = reduced.isUnique ? '' : `SEMI JOIN ${reduced.latest} USING (${orderColumn})`
  const fits = reduced.quarantines ? ` AND NOT ${quarantinedColumn}` : ''
  return `SELECT ${list} FROM ${reduced.changes} ${last} WHERE _op <> 'd'${fits}`
}

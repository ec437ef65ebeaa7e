/**
 * The one place that makes the SQL which turns rows of staged files (changes or a copy's chunks)
 * into the destination's columns. Whoever reads staged rows reads them through it.
 */
import { isDeepStrictEqual } from 'node:util'
import { quoteIdentifier } from '../engine/quote.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { scanSql } from './scan.ts'
import { engineTypeOf } from './type-mapping.ts'

/** Staged files that were written with one schema; at least one path. */
export interface StagedFiles {
  /** Local paths of verified files. */
  readonly paths: readonly string[]
  /** What the files' columns are. */
  readonly schema: TableSchema
  /** Some of them have an `_absent` column; the others then have NULL there. */
  readonly hasAbsent: boolean
}

/**
 * `<expression> AS <name>` per column of the destination, in its order. Expressions are over the
 * columns of `staged`, types are the destination's.
 */
export function projectColumns(
  staged: Pick<StagedFiles, 'schema'>,
  columns: DestinationColumns,
): readonly string[] {
  return columns.columns.map(({ name, type }) => {
    const quoted = quoteIdentifier(name)
    const from = staged.schema.columns.find((column) => column.name === name)
    // The scan gives such a column its type already: a cast would only be in the engine's way.
    if (isDeepStrictEqual(from?.type, type)) return quoted
    return `CAST(${quoted} AS ${engineTypeOf(type)}) AS ${quoted}`
  })
}

/**
 * Query of all rows of `groups`: the destination's columns in order, then `extra` (expressions with
 * their names; over `_op`, `_seq`, `_ord`, `_commit_ts` of change files), then `_absent` if any
 * group has it. `where`: a condition over the staged columns.
 */
export function stagedRowsSql(
  groups: readonly StagedFiles[],
  columns: DestinationColumns,
  { extra = [], where }: { readonly extra?: readonly string[]; readonly where?: string } = {},
): string {
  const hasAbsent = groups.some((group) => group.hasAbsent)
  const selects = groups.map((group) => {
    const list = [...projectColumns(group, columns), ...extra]
    if (hasAbsent) list.push(group.hasAbsent ? '_absent' : 'NULL::INTEGER[] AS _absent')
    const scan = scanSql(group.paths, { unionByName: group.hasAbsent })
    return `SELECT ${list.join(', ')} FROM ${scan}${where === undefined ? '' : ` WHERE ${where}`}`
  })
  return selects.join(' UNION ALL ')
}

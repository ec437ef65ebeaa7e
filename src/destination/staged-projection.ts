/**
 * The one place that makes the SQL which turns rows of staged files (changes or a copy's chunks)
 * into the destination's columns. Whoever reads staged rows reads them through it.
 */
import { isDeepStrictEqual } from 'node:util'
import { mayBeUnfit } from '../columnar/unfit-policy.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { SourceColumn, TableSchema } from '../source/table-schema.ts'
import type { StagedFile } from '../staging/manifest.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { scanSql } from './scan.ts'
import { upgradedScanSql, type SchemaUpgrade } from './schema-upgrade.ts'
import { engineTypeOf } from './type-mapping.ts'
import { anyUnfitSql, clampSql, sourceTextSql, unfitTextSql } from './unfit-sql.ts'

/** Staged files that were written with one schema; at least one path. */
export interface StagedFiles {
  /** Local paths of verified files. */
  readonly paths: readonly string[]
  /** What the files' columns are. */
  readonly schema: TableSchema
  /** Some of them have an `_absent` column; the others then have NULL there. */
  readonly hasAbsent: boolean
  /** All of them have an `_unfit` column. */
  readonly hasUnfit: boolean
  /** Some have columns that others have not. */
  readonly isMixed?: boolean
  /** The files were written with an earlier schema than `schema`. */
  readonly upgrade?: SchemaUpgrade
}

/** Files in groups of one schema each, in order. */
export function groupByUpgrade(
  files: readonly StagedFile[],
  upgrades: ReadonlyMap<string, SchemaUpgrade> | undefined,
): readonly { readonly files: readonly StagedFile[]; readonly upgrade?: SchemaUpgrade }[] {
  const groups = new Map<SchemaUpgrade | undefined, StagedFile[]>()
  for (const file of files) {
    const upgrade = upgrades?.get(file.path)
    const group = groups.get(upgrade)
    if (group === undefined) groups.set(upgrade, [file])
    else group.push(file)
  }
  return [...groups].map(([upgrade, of]) => ({
    files: of,
    ...(upgrade === undefined ? {} : { upgrade }),
  }))
}

/** Whether a row goes to quarantine; a column of `stagedRowsSql` where that was asked for. */
export const quarantinedColumn = '__sluice_unfit'

/** A relation of the rows of a group with the columns of its schema, and those that staging adds. */
export function stagedScanSql({
  paths,
  hasAbsent,
  hasUnfit,
  isMixed = false,
  upgrade,
}: StagedFiles): string {
  if (upgrade === undefined) return scanSql(paths, { unionByName: hasAbsent || isMixed })
  return upgradedScanSql(paths, upgrade, { hasAbsent, hasUnfit, isMixed })
}

/**
 * `<expression> AS <name>` per column of the destination, in its order. Expressions are over the
 * columns of `staged`, types are the destination's.
 */
function projectColumns(
  staged: Pick<StagedFiles, 'schema' | 'hasUnfit'>,
  columns: DestinationColumns,
): readonly string[] {
  return columns.columns.map((column) => {
    const cell = projectedSql(staged, column, columns.unfit)
    const quoted = quoteIdentifier(column.name)
    return cell === quoted ? quoted : `${cell} AS ${quoted}`
  })
}

/** SQL of the cells of the key, in key order, as the destination has them. */
export function keyCellsSql(
  staged: Pick<StagedFiles, 'schema' | 'hasUnfit'>,
  { key, columns, unfit }: DestinationColumns,
): readonly string[] {
  return key.flatMap((name) => {
    const column = columns.find((candidate) => candidate.name === name)
    return column === undefined ? [] : [projectedSql(staged, column, unfit)]
  })
}

/** The cell as the destination has it. */
function projectedSql(
  staged: Pick<StagedFiles, 'schema' | 'hasUnfit'>,
  column: SourceColumn,
  policy: DestinationColumns['unfit'],
): string {
  const ordinal = staged.schema.columns.findIndex(({ name }) => name === column.name)
  const from = staged.schema.columns[ordinal]
  if (from === undefined) return `CAST(NULL AS ${engineTypeOf(column.type)})`
  const cell = cellSql(from, column, policy)
  if (!staged.hasUnfit || !mayBeUnfit(from)) return cell
  const text = unfitTextSql(ordinal)
  if (policy === 'string') return `coalesce(${text}, ${cell})`
  return policy === 'clamp' ? `coalesce(${cell}, ${clampSql(text, from.type)})` : cell
}

/** The same, were it to fit. */
function cellSql(
  from: SourceColumn,
  to: SourceColumn,
  policy: DestinationColumns['unfit'],
): string {
  const quoted = quoteIdentifier(from.name)
  // The scan gives such a column its type already: a cast would only be in the engine's way.
  if (isDeepStrictEqual(from.type, to.type)) return quoted
  if (policy === 'string' && mayBeUnfit(from)) return sourceTextSql(quoted, from.type)
  return `CAST(${quoted} AS ${engineTypeOf(to.type)})`
}

/** Ordinals in `schema` of the columns that a destination has; `key`: of its key only. */
export function chosenOrdinals(
  schema: TableSchema,
  columns: DestinationColumns,
  part: 'all' | 'key' = 'all',
): readonly number[] {
  const names = new Set(part === 'key' ? columns.key : columns.columns.map(({ name }) => name))
  return schema.columns.flatMap(({ name }, ordinal) => (names.has(name) ? [ordinal] : []))
}

export interface StagedRowsOptions {
  /** Expressions with their names; over `_op`, `_seq`, `_ord`, `_commit_ts` of change files. */
  readonly extra?: readonly string[]
  /** A condition over the staged columns. */
  readonly where?: string
  /**
   * Change files: rows that go to quarantine are marked (`quarantinedColumn`), but for deletes that
   * name their row by a key. Otherwise they are left out.
   */
  readonly marksQuarantined?: boolean
}

/**
 * Query of all rows of `groups`: the destination's columns in order, then `extra`, then `_absent` if
 * any group has it, then the mark, if asked for, where the policy is quarantine. Rows whose key does
 * not fit are left out for quarantine: no row of the destination is theirs.
 */
export function stagedRowsSql(
  groups: readonly StagedFiles[],
  columns: DestinationColumns,
  options: StagedRowsOptions = {},
): string {
  const { extra = [], where } = options
  const hasAbsent = groups.some((group) => group.hasAbsent)
  const selects = groups.map((group) => {
    const list = [...projectColumns(group, columns), ...extra]
    if (hasAbsent) list.push(group.hasAbsent ? '_absent' : 'NULL::INTEGER[] AS _absent')
    const conditions = where === undefined ? [] : [`(${where})`]
    if (columns.unfit === 'quarantine') {
      const { mark, condition } = quarantineSql(group, columns, options)
      list.push(...mark)
      conditions.push(...condition)
    }
    const filter = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
    return `SELECT ${list.join(', ')} FROM ${stagedScanSql(group)}${filter}`
  })
  return selects.join(' UNION ALL ')
}

/** Empty lists: nothing to be said. */
function quarantineSql(
  { schema, hasUnfit }: StagedFiles,
  columns: DestinationColumns,
  { marksQuarantined = false }: StagedRowsOptions,
): { readonly mark: readonly string[]; readonly condition: readonly string[] } {
  const any = hasUnfit ? anyUnfitSql(chosenOrdinals(schema, columns)) : 'false'
  if (!marksQuarantined) return { mark: [], condition: hasUnfit ? [`NOT ${any}`] : [] }
  const counts = columns.key.length > 0 && hasUnfit ? `(_op <> 'd' AND ${any})` : any
  const key = `NOT ${anyUnfitSql(chosenOrdinals(schema, columns, 'key'))}`
  return { mark: [`${counts} AS ${quarantinedColumn}`], condition: hasUnfit ? [key] : [] }
}

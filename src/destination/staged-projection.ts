/**
 * The one place that makes the SQL which turns rows of staged files (changes or a copy's chunks)
 * into the destination's columns. Whoever reads staged rows reads them through it.
 */
import { isDeepStrictEqual } from 'node:util'
import { quoteIdentifier } from '../engine/quote.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { StagedFile } from '../staging/manifest.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { scanSql } from './scan.ts'
import { upgradedScanSql, type SchemaUpgrade } from './schema-upgrade.ts'
import { engineTypeOf } from './type-mapping.ts'

/** Staged files that were written with one schema; at least one path. */
export interface StagedFiles {
  /** Local paths of verified files. */
  readonly paths: readonly string[]
  /** What the files' columns are. */
  readonly schema: TableSchema
  /** Some of them have an `_absent` column; the others then have NULL there. */
  readonly hasAbsent: boolean
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

/** A relation of the rows of `group` with the columns of its schema. */
function stagedScanSql({ paths, hasAbsent, upgrade }: StagedFiles): string {
  if (upgrade === undefined) return scanSql(paths, { unionByName: hasAbsent })
  return upgradedScanSql(paths, upgrade, { hasAbsent, hasUnfit: false })
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
    const scan = stagedScanSql(group)
    return `SELECT ${list.join(', ')} FROM ${scan}${where === undefined ? '' : ` WHERE ${where}`}`
  })
  return selects.join(' UNION ALL ')
}

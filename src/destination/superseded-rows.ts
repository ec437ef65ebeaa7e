/**
 * A copy that was resumed is a copy of its newest point, but some of its chunks were read under
 * earlier ones. Rows of those chunks that changed in between are superseded: a refresh has the row
 * as it is at the newest point, or it is gone. Which ones is told by key, by the changes between the
 * points and by the refreshes. See docs/staging-format.md, "A copy that was resumed".
 */
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { int32Column, int64Column } from '../engine/result-columns.ts'
import type { StagedFile } from '../staging/manifest.ts'
import { localFile } from './data-path.ts'
import { emptyRelation } from './read-table.ts'
import { fileColumn, positionColumn, positionedScanSql } from './scan.ts'
import { stagedGroups } from './staged-groups.ts'
import { keyCellsSql, stagedRowsSql, stagedScanSql, type StagedFiles } from './staged-projection.ts'
import type { TableTools, TableWork } from './table-work.ts'

/** Files of chunks read under one point. */
interface Layer {
  readonly files: readonly StagedFile[]
  /**
   * Condition that holds for superseded rows, from the SQL of the key's cells as the destination has
   * them; undefined: none can be.
   */
  readonly isSuperseded: ((key: readonly string[]) => string) | undefined
}

const keysTable = 'sluice_superseding'
const keyColumn = (index: number): string => quoteIdentifier(`__sluice_superseding_${index}`)

/** Makes a temporary table of the session, if the copy was resumed at all. */
async function layersOf(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  work: TableWork,
): Promise<readonly Layer[]> {
  const superseding = work.superseding ?? []
  const byPoint = new Map<number, StagedFile[]>()
  for (const { files, resumption = 0 } of work.chunks) {
    const present = byPoint.get(resumption) ?? []
    byPoint.set(resumption, [...present, ...files.filter((file) => file.rows > 0)])
  }
  if (superseding.length > 0 && work.chunks.some(({ files }) => files.length > 0)) {
    await loadKeys(engine, tools, work)
  }
  const newest = Math.max(-1, ...superseding.map(({ upTo }) => upTo))
  const isSame = (key: readonly string[]): string =>
    key.map((cell, index) => `${keyColumn(index)} = ${cell}`).join(' AND ')
  return [...byPoint]
    .filter(([, files]) => files.length > 0)
    .map(([point, files]) => ({
      files,
      isSuperseded:
        point > newest
          ? undefined
          : (cells) =>
              `EXISTS (SELECT 1 FROM ${keysTable} WHERE __sluice_up_to >= ${point} AND ${isSame(cells)})`,
    }))
}

/** One row per key: up to which point rows with it are superseded. */
async function loadKeys(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  { superseding = [], columns, chunks, upgrades }: TableWork,
): Promise<void> {
  // All of a copy, up to its newest point, was staged with one schema.
  const upgrade = upgrades?.get(chunks.flatMap(({ files }) => files)[0]?.path ?? '')
  const points = [...new Set(superseding.map(({ upTo }) => upTo))]
  const selects = points.flatMap((point) => {
    const files = superseding.filter(({ upTo }) => upTo === point).map(({ file }) => file)
    const same = new Map(upgrade === undefined ? [] : files.map(({ path }) => [path, upgrade]))
    return stagedGroups(tools, { columns, upgrades: same }, files).map((group) => {
      const keys = keyCellsSql(group, columns).map((cell, n) => `${cell} AS ${keyColumn(n)}`)
      // Files of chunks and of changes lie side by side.
      return `SELECT ${keys.join(', ')}, ${point} AS up_to
        FROM ${stagedScanSql({ ...group, isMixed: true })}`
    })
  })
  const names = columns.key.map((_, index) => keyColumn(index)).join(', ')
  await engine.run(
    `CREATE OR REPLACE TEMP TABLE ${keysTable} AS
     SELECT ${names}, max(up_to)::INTEGER AS __sluice_up_to
     FROM (${selects.join(' UNION ALL ')}) GROUP BY ${names}`,
  )
}

/** Staged files of the copy, and the condition that leaves superseded rows out where there may be some. */
export interface CopyGroup {
  readonly group: StagedFiles
  readonly where?: string
}

/** Makes a temporary table of the session where the copy was resumed. `only`: of these files. */
export async function copyGroups(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  work: TableWork,
  only?: ReadonlySet<StagedFile>,
): Promise<readonly CopyGroup[]> {
  const layers = await layersOf(engine, tools, work)
  return layers.flatMap(({ files, isSuperseded }) => {
    const wanted = only === undefined ? files : files.filter((file) => only.has(file))
    return stagedGroups(tools, work, wanted).map((group): CopyGroup => {
      if (isSuperseded === undefined) return { group }
      return { group, where: `NOT ${isSuperseded(keyCellsSql(group, work.columns))}` }
    })
  })
}

/**
 * Query of the rows of the copy as of its newest point, the destination's columns in order.
 * `only`: those in these files.
 */
export async function copyRowsSql(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  work: TableWork,
  only?: ReadonlySet<StagedFile>,
): Promise<string> {
  const groups = await copyGroups(engine, tools, work, only)
  if (groups.length === 0) return emptyRelation(work.columns.columns)
  return groups
    .map(({ group, ...where }) => stagedRowsSql([group], work.columns, where))
    .join(' UNION ALL ')
}

/** Positions of superseded rows, ascending, by staged file; files without any are left out. */
export async function supersededRows(
  engine: EngineStatements,
  tools: Pick<TableTools, 'staging'>,
  work: TableWork,
): Promise<ReadonlyMap<StagedFile, BigUint64Array>> {
  const found = new Map<StagedFile, BigUint64Array>()
  if ((work.superseding ?? []).length === 0) return found
  const names = work.columns.staged.columns.map(({ name }) => name)
  for (const { files, isSuperseded } of await layersOf(engine, tools, work)) {
    if (isSuperseded === undefined) continue
    const paths = files.map((file) => localFile(tools.staging, file.path))
    const scan = positionedScanSql(paths, work.columns.key, names)
    const result = await engine.columns(
      `SELECT ${quoteIdentifier(fileColumn)}, ${quoteIdentifier(positionColumn)}
       FROM ${scan} WHERE ${isSuperseded(work.columns.key.map(quoteIdentifier))} ORDER BY ALL`,
    )
    const inFiles = int32Column(result, 0)
    const positions = int64Column(result, 1)
    for (let start = 0; start < result.rowCount;) {
      let end = start
      while (end < result.rowCount && inFiles[end] === inFiles[start]) end++
      const file = files[inFiles[start] ?? -1]
      if (file !== undefined) {
        found.set(file, new BigUint64Array(positions.slice(start, end).buffer))
      }
      start = end
    }
  }
  return found
}

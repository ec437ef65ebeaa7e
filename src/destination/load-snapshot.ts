/** The files of a copy become files of the table: linked as they are, unless columns are left out. */
import type { AddFile } from '../delta/actions.ts'
import { encodeDataPath } from '../delta/data-path.ts'
import { deltaStatsJson } from '../delta/statistics.ts'
import type { StagedFile } from '../staging/manifest.ts'
import { inTable } from './data-path.ts'
import {
  changeTypeColumn,
  commitTimeColumn,
  endColumn,
  ordinalColumn,
  sequenceColumn,
  startColumn,
} from './destination-kind.ts'
import { stagedGroups } from './staged-groups.ts'
import { stagedRowsSql } from './staged-projection.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { newDataFileName, writeDataFiles } from './write-data-file.ts'

/** Links in flight at once: each waits for the disk. */
const linkConcurrency = 8

/**
 * Durable data files with all rows of the copy. Staged files have exactly the table's columns, so
 * no row is written again; with columns left out they are, so that those bytes never arrive.
 * `written` gets every new file at once, so that a failure can remove it.
 */
export async function loadSnapshot(
  tools: TableTools,
  work: TableWork,
  written: AddFile[],
): Promise<readonly AddFile[]> {
  const files = work.chunks.flatMap((chunk) => chunk.files).filter((file) => file.rows > 0)
  if (files.length === 0) return []
  const { columns, upgrades } = work
  const isUnchanged =
    columns.isComplete &&
    columns.stored.length === columns.columns.length &&
    !files.some(({ path }) => upgrades?.has(path) === true)
  if (isUnchanged) {
    const added: AddFile[] = Array.from({ length: files.length })
    let next = 0
    const link = async (): Promise<void> => {
      while (next < files.length) {
        const index = next++
        const file = files[index]
        if (file === undefined) continue
        added[index] = await linkFile(tools, work, file)
        written.push(added[index])
      }
    }
    await Promise.all(Array.from({ length: linkConcurrency }, link))
    return added
  }
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const added = await writeDataFiles(
    { ...tools, columns: columns.stored },
    copiedRowsSql(work, stagedRowsSql(stagedGroups(tools, work, files), columns)),
    bytes > 2 ** 28,
  )
  written.push(...added)
  return added
}

async function linkFile(tools: TableTools, work: TableWork, file: StagedFile): Promise<AddFile> {
  const name = newDataFileName()
  await tools.table.storage.linkFrom(tools.staging, file.path, inTable(tools.table, name))
  const statistics = file.statistics ?? { rowCount: file.rows, columns: [] }
  return {
    path: encodeDataPath(name),
    partitionValues: {},
    size: file.bytes,
    modificationTime: tools.clock.nowMs(),
    dataChange: true,
    stats: deltaStatsJson(statistics, work.columns.columns),
  }
}

/** Rows of a copy with the columns that the destination adds. */
function copiedRowsSql({ columns, copy }: TableWork, rows: string): string {
  const { takenAtUs, sequence } = copy ?? { takenAtUs: 0n, sequence: 0n }
  const taken = `make_timestamptz(${takenAtUs})`
  switch (columns.kind) {
    case 'current':
    case 'multiset':
      return rows
    case 'versions':
      return `SELECT *, ${taken} AS ${startColumn}, NULL::TIMESTAMPTZ AS ${endColumn} FROM (${rows})`
    case 'log':
      return `SELECT *, 'insert' AS ${changeTypeColumn}, ${taken} AS ${commitTimeColumn},
        ${sequence}::BIGINT AS ${sequenceColumn}, -1::INTEGER AS ${ordinalColumn} FROM (${rows})`
    default:
      return columns.kind satisfies never
  }
}

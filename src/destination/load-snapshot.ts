/** The files of a copy become files of the table: linked as they are, unless columns are left out. */
import type { AddFile } from '../delta/actions.ts'
import { encodeDataPath } from '../delta/data-path.ts'
import { deltaStatsJson } from '../delta/statistics.ts'
import type { StagedFile } from '../staging/manifest.ts'
import { inTable, localFile } from './data-path.ts'
import { groupByUpgrade, stagedRowsSql } from './staged-projection.ts'
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
  if (work.columns.isComplete && !files.some(({ path }) => work.upgrades?.has(path) === true)) {
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
  const groups = groupByUpgrade(files, work.upgrades).map(({ files: of, ...upgrade }) => ({
    ...upgrade,
    paths: of.map((file) => localFile(tools.staging, file.path)),
    schema: work.columns.staged,
    hasAbsent: false,
  }))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const added = await writeDataFiles(
    { ...tools, columns: work.columns.columns },
    stagedRowsSql(groups, work.columns),
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

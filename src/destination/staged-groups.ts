/** Staged files of one work, ready to be read: by the schema they were written with. */
import type { StagedFile } from '../staging/manifest.ts'
import { localFile } from './data-path.ts'
import { groupByUpgrade, type StagedFiles } from './staged-projection.ts'
import type { TableTools, TableWork } from './table-work.ts'

/** `absentPaths`: those of the files that have an `_absent` column. */
export function stagedGroups(
  { staging }: Pick<TableTools, 'staging'>,
  { columns, upgrades }: Pick<TableWork, 'columns' | 'upgrades'>,
  files: readonly StagedFile[],
  absentPaths: ReadonlySet<string> = new Set(),
): readonly StagedFiles[] {
  return groupByUpgrade(files, upgrades).map(({ files: of, ...upgrade }) => ({
    ...upgrade,
    paths: of.map((file) => localFile(staging, file.path)),
    schema: columns.staged,
    hasAbsent: absentPaths.size > 0 && of.some(({ path }) => absentPaths.has(path)),
  }))
}

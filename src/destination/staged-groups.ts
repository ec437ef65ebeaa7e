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
  return groupByUpgrade(files, upgrades).flatMap(({ files: all, ...upgrade }) =>
    [false, true].flatMap((hasUnfit): StagedFiles[] => {
      const of = all.filter((file) => (file.unfit_cells !== undefined) === hasUnfit)
      if (of.length === 0) return []
      const paths = of.map((file) => localFile(staging, file.path))
      const hasAbsent = absentPaths.size > 0 && of.some(({ path }) => absentPaths.has(path))
      return [{ ...upgrade, paths, schema: columns.staged, hasAbsent, hasUnfit }]
    }),
  )
}

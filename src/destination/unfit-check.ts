/** Whether the policy can do anything with the cells that do not fit, before anything is written. */
import { SluiceError } from '../base/errors.ts'
import { keepsHistory } from './destination-kind.ts'
import { afterSql, stagedChanges } from './staged-changes.ts'
import { stagedGroups } from './staged-groups.ts'
import { chosenOrdinals, stagedScanSql, type StagedFiles } from './staged-projection.ts'
import { copyGroups } from './superseded-rows.ts'
import type { SessionTools, TableTools, TableWork } from './table-work.ts'

interface UnfitCount {
  readonly name: string
  readonly count: number
}

/**
 * Throws DESTINATION_VALUE_UNFIT for the policy `fail`, DESTINATION_KEY_UNFIT when the policy would
 * give rows with different keys the same one.
 */
export async function checkUnfit(tools: TableTools, work: TableWork): Promise<void> {
  const policy = work.columns.unfit
  if (policy === 'string' || policy === 'quarantine' || !hasUnfit(work)) return
  const session = await tools.engine.openSession()
  try {
    await checkInSession({ ...tools, engine: session }, work)
  } finally {
    session.close()
  }
}

function hasUnfit({ chunks, steps }: TableWork): boolean {
  const files = [
    ...chunks.flatMap((chunk) => chunk.files),
    ...steps.flatMap((step) => (step.kind === 'changes' ? [step.file] : [])),
  ]
  return files.some((file) => file.unfit_cells !== undefined)
}

async function checkInSession(tools: SessionTools, work: TableWork): Promise<void> {
  const policy = work.columns.unfit
  const keys = await countUnfit(tools, work, 'key')
  if (keys.length > 0 && policy !== 'fail') {
    throw new SluiceError(
      'DESTINATION_KEY_UNFIT',
      `${tools.identity.name}: ${shown(keys)} of the key; with sluice.unfitValues "${policy}" rows would be mixed up`,
    )
  }
  if (policy !== 'fail') return
  const all = await countUnfit(tools, work, 'all')
  const found = keys.length > 0 && all.length === 0 ? keys : all
  if (found.length === 0) return
  throw new SluiceError(
    'DESTINATION_VALUE_UNFIT',
    `${tools.identity.name}: ${shown(found)}; sluice.unfitValues says what to do with them, it is "fail"`,
  )
}

function shown(counts: readonly UnfitCount[]): string {
  return counts
    .map(
      ({ name, count }) =>
        `column "${name}" has ${count === 1 ? '1 value that does' : `${count} values that do`} not fit its type`,
    )
    .join(', ')
}

/** Per chosen column: unfit cells of rows that are to be written; of the key also those of deletes. */
async function countUnfit(
  tools: SessionTools,
  work: TableWork,
  part: 'all' | 'key',
): Promise<readonly UnfitCount[]> {
  const { columns, steps } = work
  const keeps = keepsHistory(columns.kind)
  const changes = stagedChanges(keeps ? steps.filter(({ kind }) => kind === 'changes') : steps)
  // Rows that a resumed copy has newer elsewhere are not written.
  const copied = changes.after === undefined ? await copyGroups(tools.engine, tools, work) : []
  // Without a key a deleted row is found by all its cells.
  const kept = part === 'key' || columns.key.length === 0 ? 'true' : `_op <> 'd'`
  const selects = [
    ...copied.flatMap(({ group, where = 'true' }) => cellsSql([group], where)),
    ...cellsSql(
      stagedGroups(tools, work, changes.files, changes.absentPaths),
      `${kept} AND ${afterSql(changes.after)}`,
    ),
  ]
  const ordinals = chosenOrdinals(columns.staged, columns, part)
  if (selects.length === 0 || ordinals.length === 0) return []
  const rows = await tools.engine.rows(
    `SELECT ordinal, count(*)::INTEGER AS cells FROM (${selects.join(' UNION ALL ')})
     WHERE ordinal IN (${ordinals.join(', ')}) GROUP BY ordinal ORDER BY ordinal`,
  )
  return rows.map((row) => ({
    name: columns.staged.columns[Number(row['ordinal'])]?.name ?? '',
    count: Number(row['cells']),
  }))
}

function cellsSql(groups: readonly StagedFiles[], where: string): readonly string[] {
  return groups
    .filter((group) => group.hasUnfit)
    .map(
      (group) => `SELECT split_part(unnest(_unfit), ':', 1)::INTEGER AS ordinal
        FROM ${stagedScanSql(group)} WHERE ${where}`,
    )
}

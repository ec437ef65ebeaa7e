/** What is to be said of a table because of others that are parts of it, or that it is a part of. */
import type { Finding } from '../finding.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import {
  capturedTwice,
  inheritingTables,
  partitionProblems,
  wholesAmong,
} from './partition-requirements.ts'
import type { UnmetRequirement } from './table-requirements.ts'

type Problem = Pick<Finding, 'severity' | 'code' | 'message' | 'remedy'> &
  Pick<UnmetRequirement, 'grant'>

export interface Surroundings {
  readonly ofPartitions: ReadonlyMap<TableId, readonly UnmetRequirement[]>
  readonly twice: ReadonlyMap<TableId, UnmetRequirement>
  readonly inheriting: ReadonlyMap<TableId, string>
}

export async function lookAround(
  control: Pick<Control, 'query'>,
  tables: readonly SourceTable[],
): Promise<Surroundings> {
  return {
    ofPartitions: await partitionProblems(control, tables),
    twice: capturedTwice(tables, await wholesAmong(control, tables)),
    inheriting: await inheritingTables(control, tables),
  }
}

export function surroundingProblems({ id }: SourceTable, around: Surroundings): Problem[] {
  const errors = [...(around.ofPartitions.get(id) ?? []), around.twice.get(id) ?? []].flat()
  const problems = errors.map((one): Problem => ({ severity: 'error', ...one }))
  const children = around.inheriting.get(id)
  if (children === undefined) return problems
  return [
    ...problems,
    {
      severity: 'warning',
      code: 'SOURCE_TABLE_INHERITED',
      message: `These tables inherit from it, and their rows are not captured with it: ${children}`,
      remedy: 'Choose them as tables of their own.',
    },
  ]
}

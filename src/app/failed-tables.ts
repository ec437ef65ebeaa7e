/** The tables of a gateway and of its pipelines that are not where they should be, each told once. */
import type { RunResult } from '../cli/app.ts'
import { nameOf } from '../gateway/followed-tables.ts'
import type { TableStatus } from '../gateway/gateway-status.ts'
import type { PipelineTableStatus } from '../pipeline/pipeline-status.ts'

type FailedTables = RunResult['failedTables']

/**
 * What a gateway says of a table is the cause of what a pipeline says of the same one, under the
 * name it has at the source. Order: those of the gateway first.
 */
export function failedTables(
  followed: readonly Pick<TableStatus, 'tableId' | 'name' | 'problem'>[],
  loaded: readonly Pick<PipelineTableStatus, 'tableId' | 'source' | 'destination' | 'problem'>[],
  { isStopped = false }: { readonly isStopped?: boolean } = {},
): FailedTables {
  const gone = loaded.filter(({ problem }) => problem?.code === 'GATEWAY_TABLE_GONE')
  // What was loaded once was not misspelled.
  const isKnownGone = ({ name, problem }: (typeof followed)[number]): boolean =>
    problem?.code === 'GATEWAY_TABLE_NOT_FOUND' &&
    gone.some(({ source }) => source !== undefined && nameOf({ name: source }) === nameOf({ name }))
  const causes = followed.filter((table) => !isKnownGone(table))
  const ids = new Set(causes.flatMap(({ tableId, problem }) => (problem ? [tableId] : [])))
  const all = [
    ...causes.map(({ name, problem }) => ({ table: nameOf({ name }), problem })),
    ...loaded
      .filter(({ tableId }) => !ids.has(tableId))
      // Who stops a run before a new copy is whole has not met a failure.
      .filter(({ problem }) => !(isStopped && problem?.code === 'PIPELINE_TABLE_GAP'))
      .map(({ destination, problem }) => ({ table: destination, problem })),
  ]
  return all.flatMap(({ table, problem }) => (problem === undefined ? [] : [{ table, problem }]))
}

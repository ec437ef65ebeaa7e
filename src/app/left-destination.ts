/** A destination to which its pipeline leads nothing any more. */
import { SluiceError } from '../base/errors.ts'
import type { DestinationRecord } from '../catalog/destination-record.ts'
import { formatTableName } from '../catalog/names.ts'
import type { PipelineStatus } from '../pipeline/pipeline-status.ts'

/** undefined: as far as the pipeline said, it keeps the destination up to date. */
export function leftBy(
  { name, tableId, source }: DestinationRecord,
  status: Pick<PipelineStatus, 'tables' | 'passedCommit'> | undefined,
): SluiceError | undefined {
  const destination = formatTableName(name)
  // Before its first update a pipeline does not know its tables.
  if (status?.passedCommit === undefined) return undefined
  if (status.tables.some((table) => table.destination === destination)) return undefined
  const now = status.tables.filter((table) => table.tableId === tableId)
  const where = now.map((table) => table.destination).join(', ')
  const text = `nothing leads from ${source} to ${destination} any more`
  return new SluiceError(
    'PIPELINE_DESTINATION_LEFT',
    where === '' ? text : `${text}: its rows go to ${where} now`,
  )
}

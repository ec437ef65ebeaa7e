/** What is said of a table that the source has no more. */
import { SluiceError } from '../base/errors.ts'
import { formatDestinationName, type TableRoute } from './table-selection.ts'

/** What stands at the table's place is not what this pipeline made of it. */
export const othersCodes: ReadonlySet<string> = new Set([
  'DESTINATION_FOREIGN_TABLE',
  'DESTINATION_TABLE_TAKEN',
])

export function goneError({ source, destination }: TableRoute): SluiceError {
  return new SluiceError(
    'GATEWAY_TABLE_GONE',
    `table ${source.schema}.${source.table} is no longer in the source as a table of its own, or not visible to the gateway's user; ${formatDestinationName(destination)} stays as it was`,
  )
}

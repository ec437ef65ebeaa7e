/** The Delta tables a person may read: destinations, and beside some of them a quarantine. */
import type { TableName } from '../catalog/names.ts'
import { quarantineName } from '../destination/quarantine.ts'
import type { Context } from './context.ts'

export interface ReadableTable {
  readonly name: TableName
  readonly pipelineId: string
  /** Absolute path of the Delta table; for a quarantine there may be none. */
  readonly location: string
}

export async function readableTables(context: Context): Promise<readonly ReadableTable[]> {
  const folders = await context.folders()
  return (await context.store.destinations()).flatMap(({ name, pipelineId, location }) => {
    const beside = { ...name, table: quarantineName(name.table) }
    return [
      { name, pipelineId, location },
      { name: beside, pipelineId, location: folders.table(beside) },
    ]
  })
}

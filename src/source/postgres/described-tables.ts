/** Tables as a source shows them to the gateway: from one look at the catalog, which is numbered. */
import type { SourceTable } from '../table-schema.ts'
import type { LookOptions } from './ddl-watch.ts'
import type { CatalogTable } from './discover.ts'
import { withPartitionSizes } from './partition-sizes.ts'

export async function describedTables(
  { control, order }: Pick<LookOptions, 'control' | 'order'>,
  found: readonly CatalogTable[],
): Promise<readonly SourceTable[]> {
  const tables = found.map(({ table }) => table)
  for (const { schema } of tables) order.note(schema)
  return await withPartitionSizes(control, tables)
}

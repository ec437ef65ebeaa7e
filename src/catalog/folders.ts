/** Where tables and volumes lie on a disk. */
import { join, resolve } from 'node:path'
import type { TableName, VolumeName } from './names.ts'
import type { StorageRoot } from './resources.ts'

export interface Folders {
  /** Absolute. */
  readonly data: string
  table(name: TableName): string
  volume(name: VolumeName): string
}

/** `<data>/lake/<catalog>/<schema>/<table>`, unless the schema or catalog has a storage root. */
export function createFolders(dataFolder: string, roots: readonly StorageRoot[]): Folders {
  const data = resolve(dataFolder)
  const under = (kind: string, catalog: string, schema: string): string => {
    const root =
      roots.find((candidate) => candidate.catalog === catalog && candidate.schema === schema) ??
      roots.find((candidate) => candidate.catalog === catalog && candidate.schema === undefined)
    if (root === undefined) return join(data, kind, catalog, schema)
    return root.schema === undefined ? join(root.folder, kind, schema) : join(root.folder, kind)
  }
  return {
    data,
    table: ({ catalog, schema, table }) => join(under('lake', catalog, schema), table),
    volume: ({ catalog, schema, volume }) => join(under('volumes', catalog, schema), volume),
  }
}

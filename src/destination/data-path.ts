/** Where the embedded engine finds a file of a Delta table. */
import { SluiceError } from '../base/errors.ts'
import type { AddFile } from '../delta/actions.ts'
import { storagePathOf } from '../delta/data-path.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

/** Throws DESTINATION_FILE_UNREACHABLE when the file is not on this machine. */
export function localDataFile(table: DeltaTable, file: Pick<AddFile, 'path'>): string {
  return localFile(table.storage, storagePathOf(table, file.path))
}

/** Throws DESTINATION_FILE_UNREACHABLE when the object is not on this machine. */
export function localFile(storage: ObjectStorage, path: string): string {
  const local = storage.localPath(path)
  if (local !== undefined) return local
  const text = `${storage.url}/${path} is not on this machine`
  throw new SluiceError('DESTINATION_FILE_UNREACHABLE', text)
}

/** Path inside the table's storage of a file named relative to its root. */
export function inTable(table: DeltaTable, relativePath: string): string {
  return table.root === '' ? relativePath : `${table.root}/${relativePath}`
}

/**
 * Paths of data and deletion vector files as the log spells them: URLs, relative to the table's
 * root or absolute. PROTOCOL.md, "Add File and Remove File".
 */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { AddFile, RemoveFile } from './actions.ts'
import { deletionVectorId } from './deletion-vector.ts'

/** A path below the table's root as the log spells it. */
export function encodeDataPath(relativePath: string): string {
  return relativePath.split('/').map(encodeURIComponent).join('/')
}

function decodePercent(path: string): string {
  try {
    return decodeURIComponent(path)
  } catch {
    // Some writers leave a bare "%" as it is.
    return path
  }
}

/** One spelling per file: decoded, `file:` dropped, `s3a:` as `s3:`. */
function canonicalPath(path: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):(\/\/)?/i.exec(path)
  if (scheme === null) return decodePercent(path)
  const name = (scheme[1] ?? '').toLowerCase()
  const rest = decodePercent(path.slice(scheme[0].length))
  if (name === 'file') return rest
  return `${name === 's3a' || name === 's3n' ? 's3' : name}://${rest}`
}

/** Key of a logical file in a snapshot: its path plus, when there is one, its vector's id. */
export function logicalFileKey(
  file: Pick<AddFile | RemoveFile, 'path' | 'deletionVector'>,
): string {
  const path = canonicalPath(file.path)
  return file.deletionVector === undefined
    ? path
    : `${path}\n${deletionVectorId(file.deletionVector)}`
}

/**
 * Path inside `storage` of a file that the log of the table at `root` names.
 * Throws DELTA_PATH_OUTSIDE_STORAGE.
 */
export function storagePathOf(
  table: { readonly storage: ObjectStorage; readonly root: string },
  logPath: string,
): string {
  const path = canonicalPath(logPath)
  const isAbsolute = path.startsWith('/') || /^[a-z][a-z0-9+.-]*:\/\//.test(path)
  if (!isAbsolute) return table.root === '' ? path : `${table.root}/${path}`
  const base = canonicalPath(table.storage.url)
  if (path.startsWith(`${base}/`)) return path.slice(base.length + 1)
  const text = `"${logPath}" of table ${table.root} lies outside ${table.storage.url}`
  throw new SluiceError('DELTA_PATH_OUTSIDE_STORAGE', text)
}

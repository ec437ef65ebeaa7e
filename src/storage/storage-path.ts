/** What a path inside a storage root may look like, and the order of paths. */
import { SluiceError } from '../base/errors.ts'

/** Throws when `path` could leave the root or name a folder. */
export function checkObjectPath(path: string): string {
  const parts = path.split('/')
  if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new SluiceError('STORAGE_FAILED', `"${path}" is not a relative object path`)
  }
  return path
}

/** Ascending by UTF-16 code unit, the one order in which objects are listed. */
export function comparePaths(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0
}

export function concatBytes(chunks: readonly Uint8Array[]): Uint8Array {
  const only = chunks[0]
  if (chunks.length === 1 && only !== undefined) return only
  return Buffer.concat(chunks)
}

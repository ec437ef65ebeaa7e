/**
 * Files that appear whole and durable, or not at all: bytes go to a hidden temporary in the same
 * folder and are fsynced, then one link (put-if-absent) or one rename (replace) makes them
 * visible, then the folder is fsynced so that the name survives a power cut.
 */
import { randomBytes } from 'node:crypto'
import { link, mkdir, open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { SluiceError } from '../base/errors.ts'
import { errnoOf } from './storage-error.ts'

const temporaryPrefix = '.sluice-tmp-'

/** Names of unfinished writes; never listed as objects. */
export function isTemporaryName(name: string): boolean {
  return name.startsWith(temporaryPrefix)
}

export function temporaryBeside(file: string): string {
  return join(dirname(file), temporaryPrefix + randomBytes(12).toString('hex'))
}

/** Creates `folder` and its parents; every newly made name is durable when it resolves. */
export async function ensureFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let made = folder; ; made = dirname(made)) {
    await syncFolder(dirname(made))
    if (made === first || made === dirname(made)) return
  }
}

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Writes all of `chunks` at the handle's place; a short write is continued. */
export async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  let left = chunks.filter((chunk) => chunk.byteLength > 0)
  while (left.length > 0) {
    let { bytesWritten } = await handle.writev(left)
    const rest: Uint8Array[] = []
    for (const chunk of left) {
      if (bytesWritten >= chunk.byteLength) bytesWritten -= chunk.byteLength
      else {
        rest.push(chunk.subarray(bytesWritten))
        bytesWritten = 0
      }
    }
    left = rest
  }
}

/** Opens a new file; its folder, which mostly is there, is made when it is not. */
export async function openTemporary(temporary: string): Promise<FileHandle> {
  try {
    return await open(temporary, 'wx')
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    await ensureFolder(dirname(temporary))
    return await open(temporary, 'wx')
  }
}

/** Writes and fsyncs a temporary beside `file` and returns its name; leaves nothing when it fails. */
export async function writeTemporary(file: string, chunks: readonly Uint8Array[]): Promise<string> {
  const temporary = temporaryBeside(file)
  try {
    const handle = await openTemporary(temporary)
    try {
      await writeAll(handle, chunks)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await removeQuietly(temporary)
    throw error
  }
  return temporary
}

/** Makes a durable temporary visible as `file`, replacing what was there. */
export async function publishReplacing(temporary: string, file: string): Promise<void> {
  try {
    await rename(temporary, file)
  } catch (error) {
    await removeQuietly(temporary)
    throw error
  }
  await syncFolder(dirname(file))
}

/** Makes a durable temporary visible as `file`; false, and nothing changed, when the name is taken. */
export async function publishIfAbsent(temporary: string, file: string): Promise<boolean> {
  try {
    await link(temporary, file)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EEXIST') return false
    if (errno === 'ENOTSUP' || errno === 'EOPNOTSUPP' || errno === 'ENOSYS') {
      const text = `the file system of ${dirname(file)} refuses hard links (${errno})`
      throw new SluiceError('STORAGE_UNSUITABLE', text, { cause: error })
    }
    throw error
  } finally {
    await removeQuietly(temporary)
  }
  await syncFolder(dirname(file))
  return true
}

export async function removeQuietly(file: string): Promise<void> {
  try {
    await unlink(file)
  } catch {
    // Already gone, or the stale-temporary sweep gets it.
  }
}

/**
 * Deletes unfinished temporaries under `root` that have not been written to for `olderThanMs`:
 * what killed processes left. Returns how many were deleted.
 */
export async function removeStaleTemporaries(
  root: string,
  olderThanMs: number,
  nowMs: number = Date.now(),
): Promise<number> {
  let removed = 0
  const entries = await readdir(root, { withFileTypes: true }).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return []
    throw error
  })
  for (const entry of entries) {
    const path = join(root, entry.name)
    if (entry.isDirectory()) removed += await removeStaleTemporaries(path, olderThanMs, nowMs)
    else if (isTemporaryName(entry.name)) {
      const info = await stat(path).catch(() => undefined)
      if (info === undefined || nowMs - info.mtimeMs < olderThanMs) continue
      await removeQuietly(path)
      removed++
    }
  }
  return removed
}

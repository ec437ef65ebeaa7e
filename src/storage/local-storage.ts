/** A folder of a local (or NFS-like) disk as object storage. Durable and atomic; see durable-file.ts. */
import { constants } from 'node:fs'
import { copyFile, link, open, opendir, readFile, stat, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SluiceError } from '../base/errors.ts'
import {
  ensureFolder,
  isTemporaryName,
  openTemporary,
  publishIfAbsent,
  publishReplacing,
  removeQuietly,
  temporaryBeside,
  writeAll,
  writeTemporary,
} from './durable-file.ts'
import type { ObjectInfo, ObjectStorage, ObjectWriter } from './object-storage.ts'
import { errnoOf, storageError } from './storage-error.ts'
import { checkObjectPath, comparePaths } from './storage-path.ts'

export interface LocalStorageOptions {
  /** Test hook of put-if-absent: the temporary is durable, `path` not yet visible. */
  readonly beforeLink?: (path: string) => void
}

/** `rootFolder` need not exist; it is made by the first write. */
export function createLocalStorage(
  rootFolder: string,
  options: LocalStorageOptions = {},
): ObjectStorage {
  const root = resolve(rootFolder)
  const fileOf = (path: string): string => join(root, checkObjectPath(path))
  return {
    url: pathToFileURL(root).href,
    read: (path) => readWhole(fileOf(path)),
    readRange: (path, start, end) => readPart(fileOf(path), start, end),
    async write(path, bytes) {
      const file = fileOf(path)
      await coded('write', file, async () =>
        publishReplacing(await writeTemporary(file, [bytes]), file),
      )
    },
    async writeIfAbsent(path, bytes) {
      const file = fileOf(path)
      return coded('write', file, async () => {
        const temporary = await writeTemporary(file, [bytes])
        options.beforeLink?.(path)
        return publishIfAbsent(temporary, file)
      })
    },
    openWriter: (path) => openFileWriter(fileOf(path)),
    async linkFrom(source, sourcePath, path) {
      const from = source.localPath(sourcePath)
      const file = fileOf(path)
      if (from === undefined) {
        const text = `can not link ${source.url}/${sourcePath} to ${file}: it is not on this machine`
        throw new SluiceError('STORAGE_FAILED', text)
      }
      await coded('link', file, () => linkOrCopy(from, file))
    },
    list: (prefix, startAfter) => listFolder(root, { prefix, startAfter: startAfter ?? '' }),
    stat: (path) => statFile(root, checkObjectPath(path)),
    async delete(path) {
      const file = fileOf(path)
      try {
        await unlink(file)
      } catch (error) {
        if (!isMissing(error)) throw storageError('delete', file, error)
      }
    },
    localPath: fileOf,
  }
}

async function coded<T>(verb: string, file: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw storageError(verb, file, error)
  }
}

/** No object of that name: nothing there, a folder there, or a file where a folder is named. */
function isMissing(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno === 'ENOENT' || errno === 'ENOTDIR' || errno === 'EISDIR'
}

async function readWhole(file: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(file)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw storageError('read', file, error)
  }
}

async function readPart(file: string, start: number, end: number): Promise<Uint8Array> {
  return coded('read', file, async () => {
    const handle = await open(file, 'r')
    try {
      const bytes = Buffer.allocUnsafe(end - start)
      let filled = 0
      while (filled < bytes.byteLength) {
        const { bytesRead } = await handle.read(
          bytes,
          filled,
          bytes.byteLength - filled,
          start + filled,
        )
        if (bytesRead === 0) {
          const text = `${file} ends at byte ${start + filled}, before byte ${end}`
          throw new SluiceError('STORAGE_OBJECT_MISSING', text)
        }
        filled += bytesRead
      }
      return bytes
    } finally {
      await handle.close()
    }
  })
}

async function openFileWriter(file: string): Promise<ObjectWriter> {
  const temporary = temporaryBeside(file)
  let handle: FileHandle | undefined = await coded('write', file, () => openTemporary(temporary))
  let size = 0
  const abort = async (): Promise<void> => {
    if (handle === undefined) return
    const closing = handle
    handle = undefined
    await closing.close().catch(() => undefined)
    await removeQuietly(temporary)
  }
  /** Whatever goes wrong, the temporary goes with it: a later call finds the writer closed. */
  const step = async (work: (open: FileHandle) => Promise<void>): Promise<void> => {
    if (handle === undefined) throw new SluiceError('STORAGE_FAILED', `${file} is already closed`)
    try {
      await work(handle)
    } catch (error) {
      await abort()
      throw storageError('write', file, error)
    }
  }
  return {
    abort,
    async write(bytes) {
      const chunks = bytes instanceof Uint8Array ? [bytes] : bytes
      await step((opened) => writeAll(opened, chunks))
      for (const chunk of chunks) size += chunk.byteLength
    },
    async close() {
      await step(async (opened) => {
        await opened.sync()
        await opened.close()
        await publishReplacing(temporary, file)
        handle = undefined
      })
      return size
    },
  }
}

async function linkOrCopy(from: string, file: string): Promise<void> {
  await ensureFolder(dirname(file))
  const temporary = temporaryBeside(file)
  try {
    await link(from, temporary)
  } catch (error) {
    await removeQuietly(temporary)
    const errno = errnoOf(error)
    // Another disk, or a disk that has no (or no more) links: the bytes have to be copied.
    if (!['EXDEV', 'EMLINK', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errno ?? '')) {
      throw error
    }
    await copyDurably(from, temporary)
  }
  await publishReplacing(temporary, file)
  // A rename between two links of one file does nothing and leaves the temporary behind.
  await removeQuietly(temporary)
}

async function copyDurably(from: string, to: string): Promise<void> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE)
    const handle = await open(to, 'r+')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    await removeQuietly(to)
    throw error
  }
}

async function statFile(root: string, path: string): Promise<ObjectInfo | undefined> {
  const file = join(root, path)
  try {
    const info = await stat(file)
    if (!info.isFile()) return undefined
    return {
      path,
      sizeBytes: info.size,
      modifiedAtMs: info.mtimeMs,
      // Linking a file changes its status, not its bytes.
      arrivedAtMs: Math.max(info.mtimeMs, info.ctimeMs),
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw storageError('read', file, error)
  }
}

interface ListRange {
  readonly prefix: string
  readonly startAfter: string
}

/** Depth first; a folder sorts as its name and a slash, which makes the walk ascending by path. */
async function* listFolder(
  root: string,
  range: ListRange,
  folder = '',
): AsyncGenerator<ObjectInfo, void, undefined> {
  const base = folder === '' ? deepestFolder(range.prefix) : folder
  for (const path of (await readFolder(root, base, range)).toSorted(comparePaths)) {
    if (path.endsWith('/')) yield* listFolder(root, range, path)
    else {
      const info = await statFile(root, path)
      if (info !== undefined) yield info
    }
  }
}

function isInRange(path: string, { prefix, startAfter }: ListRange): boolean {
  if (!path.endsWith('/')) return path.startsWith(prefix) && path > startAfter
  const mayMatch = path.startsWith(prefix) || prefix.startsWith(path)
  return mayMatch && (path >= startAfter || startAfter.startsWith(path))
}

/** The part of a prefix that names whole folders, with its slash; '' for the root. */
function deepestFolder(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/') + 1)
}

/** What of a folder is in range; of millions of others nothing is kept. */
async function readFolder(root: string, base: string, range: ListRange): Promise<string[]> {
  const folder = join(root, base)
  const paths: string[] = []
  try {
    for await (const entry of await opendir(folder, { bufferSize: 1024 })) {
      if (isTemporaryName(entry.name)) continue
      const path = base + entry.name + (entry.isDirectory() ? '/' : '')
      if (isInRange(path, range)) paths.push(path)
    }
  } catch (error) {
    if (isMissing(error)) return []
    throw storageError('list', folder, error)
  }
  return paths
}

/** Object storage in memory, for tests: the same promises as a disk, gone with the process. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectInfo, ObjectStorage, ObjectWriter } from './object-storage.ts'
import { checkObjectPath, comparePaths, concatBytes } from './storage-path.ts'

interface StoredObject {
  readonly bytes: Uint8Array
  readonly modifiedAtMs: number
}

/** `slice` would do, but on a Buffer it is a view. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** `nowMs` stamps the objects; tests pass their own clock. */
export function createMemoryStorage(nowMs: () => number = Date.now): ObjectStorage {
  const objects = new Map<string, StoredObject>()
  const put = (path: string, bytes: Uint8Array): void => {
    objects.set(checkObjectPath(path), { bytes: copyOf(bytes), modifiedAtMs: nowMs() })
  }
  const infoOf = (path: string, object: StoredObject): ObjectInfo => ({
    path,
    sizeBytes: object.bytes.byteLength,
    modifiedAtMs: object.modifiedAtMs,
    arrivedAtMs: object.modifiedAtMs,
  })
  return {
    url: 'memory:',
    read: async (path) => {
      const object = objects.get(checkObjectPath(path))
      return object === undefined ? undefined : copyOf(object.bytes)
    },
    async readRange(path, start, end) {
      const object = objects.get(checkObjectPath(path))
      if (object === undefined || object.bytes.byteLength < end) {
        const text = `${path} is missing or ends before byte ${end}`
        throw new SluiceError('STORAGE_OBJECT_MISSING', text)
      }
      return copyOf(object.bytes.subarray(start, end))
    },
    write: async (path, bytes) => put(path, bytes),
    async writeIfAbsent(path, bytes) {
      if (objects.has(path)) return false
      put(path, bytes)
      return true
    },
    openWriter: async (path) =>
      openMemoryWriter((bytes) => put(path, bytes), checkObjectPath(path)),
    async linkFrom(source, sourcePath, path) {
      const bytes = await source.read(sourcePath)
      if (bytes === undefined) {
        throw new SluiceError('STORAGE_OBJECT_MISSING', `can not link ${sourcePath}: it is missing`)
      }
      put(path, bytes)
    },
    async *list(prefix, startAfter = '') {
      for (const path of [...objects.keys()].toSorted(comparePaths)) {
        const object = objects.get(path)
        if (object === undefined || !path.startsWith(prefix) || path <= startAfter) continue
        yield infoOf(path, object)
      }
    },
    async stat(path) {
      const object = objects.get(checkObjectPath(path))
      return object === undefined ? undefined : infoOf(path, object)
    },
    async delete(path) {
      objects.delete(checkObjectPath(path))
    },
    localPath: () => undefined,
  }
}

function openMemoryWriter(publish: (bytes: Uint8Array) => void, path: string): ObjectWriter {
  let chunks: Uint8Array[] | undefined = []
  const opened = (): Uint8Array[] => {
    if (chunks === undefined) throw new SluiceError('STORAGE_FAILED', `${path} is already closed`)
    return chunks
  }
  return {
    async write(bytes) {
      const given = bytes instanceof Uint8Array ? [bytes] : bytes
      opened().push(...given.map(copyOf))
    },
    async close() {
      const whole = concatBytes(opened())
      chunks = undefined
      publish(whole)
      return whole.byteLength
    },
    async abort() {
      chunks = undefined
    },
  }
}

/**
 * Test support: wraps a storage and makes chosen writes fail the ways a disk or a network does.
 * Writes are counted from 1 over `write`, `writeIfAbsent`, `linkFrom` and the `close` of a writer.
 */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from './object-storage.ts'

export type Fault =
  /** Nothing is written and the call throws STORAGE_FAILED. */
  | 'fail'
  /** Nothing is written and the call throws STORAGE_FULL. */
  | 'full'
  /** The write is done, and the call throws as if the answer had been lost. */
  | 'lost-response'
  /** A plain `write` leaves only the first half of the bytes behind and throws; others fail. */
  | 'torn'

export interface FaultyStorage extends ObjectStorage {
  /** Decides about every write; undefined lets it through. Replace it at any time. */
  decide: (write: { readonly count: number; readonly path: string }) => Fault | undefined
  readonly writeCount: number
}

export function createFaultyStorage(
  inner: ObjectStorage,
  decide: FaultyStorage['decide'] = () => undefined,
): FaultyStorage {
  let count = 0
  const faulty = async <T>(
    path: string,
    work: () => Promise<T>,
    tear: () => Promise<void> = async () => undefined,
  ): Promise<T> => {
    count++
    const fault = storage.decide({ count, path })
    if (fault === undefined) return work()
    if (fault === 'torn') await tear()
    if (fault === 'lost-response') await work()
    const code = fault === 'full' ? 'STORAGE_FULL' : 'STORAGE_FAILED'
    throw new SluiceError(code, `${fault} (write ${count}) at ${path}`)
  }
  const storage: FaultyStorage = {
    decide,
    get writeCount() {
      return count
    },
    url: inner.url,
    read: (path) => inner.read(path),
    readRange: (path, start, end) => inner.readRange(path, start, end),
    write: (path, bytes) =>
      faulty(
        path,
        () => inner.write(path, bytes),
        () => inner.write(path, bytes.subarray(0, bytes.byteLength >> 1)),
      ),
    writeIfAbsent: (path, bytes) => faulty(path, () => inner.writeIfAbsent(path, bytes)),
    async openWriter(path) {
      const writer = await inner.openWriter(path)
      return {
        write: (bytes) => writer.write(bytes),
        abort: () => writer.abort(),
        async close() {
          try {
            return await faulty(path, () => writer.close())
          } catch (error) {
            await writer.abort()
            throw error
          }
        },
      }
    },
    linkFrom: (source, sourcePath, path) =>
      faulty(path, () => inner.linkFrom(source, sourcePath, path)),
    list: (prefix, startAfter) => inner.list(prefix, startAfter),
    stat: (path) => inner.stat(path),
    delete: (path) => inner.delete(path),
    localPath: (path) => inner.localPath(path),
  }
  return storage
}

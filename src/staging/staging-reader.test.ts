import { describe, expect, test } from 'vitest'
import { collectingReader, draftOf, openTestLog } from '../../test/support/staging-fixtures.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { logBasePath, manifestPath } from './layout.ts'
import { encodeLogBase } from './manifest-codec.ts'

const withCode = (code: string): unknown => expect.objectContaining({ code })

function counting(inner: ObjectStorage): ObjectStorage & { readonly calls: string[] } {
  const calls: string[] = []
  return {
    ...inner,
    calls,
    read: (path) => (calls.push(`read ${path}`), inner.read(path)),
    stat: (path) => (calls.push(`stat ${path}`), inner.stat(path)),
    list: (prefix, after) => (calls.push(`list ${prefix}`), inner.list(prefix, after)),
  }
}

describe('refresh()', () => {
  test('of a volume nobody wrote to is empty', async () => {
    const reader = collectingReader(createMemoryStorage())
    expect(await reader.refresh()).toEqual([])
    expect(reader.firstCommit()).toBe(0)
  })

  test('fetches only what is new, and next to nothing when nothing is', async () => {
    const storage = counting(createMemoryStorage())
    const log = await openTestLog(storage)
    const reader = collectingReader(storage)
    expect(await reader.refresh()).toEqual(log.manifests)
    for (let n = 0; n < 100; n++) await log.publish(draftOf([]))
    const before = await reader.refresh()
    expect(before).toEqual(log.manifests)
    storage.calls.length = 0
    expect(await reader.refresh()).toEqual(before)
    expect(storage.calls).toEqual([
      `read ${logBasePath}`,
      `read ${manifestPath(101)}`,
      `stat ${manifestPath(102)}`,
    ])
    storage.calls.length = 0
    await log.publish(draftOf([]))
    storage.calls.length = 0
    expect(await reader.refresh()).toHaveLength(102)
    expect(storage.calls).not.toContain(`read ${manifestPath(100)}`)
  })

  test('sees every state of a log that grows beside it as dense', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    const reader = collectingReader(storage)
    let isWriting = true
    const writing = (async () => {
      for (let n = 0; n < 300; n++) await log.publish(draftOf([]))
      isWriting = false
    })()
    while (isWriting) {
      const seen = await reader.refresh()
      expect(seen.map(({ commit }) => commit)).toEqual(seen.map((_, n) => n))
    }
    await writing
    expect(await reader.refresh()).toEqual(log.manifests)
  })

  test('calls at the same time share one read', async () => {
    const storage = counting(createMemoryStorage())
    const { manifests } = await openTestLog(storage)
    const reader = collectingReader(storage)
    storage.calls.length = 0
    const [one, two] = await Promise.all([reader.refresh(), reader.refresh()])
    expect([one, two]).toEqual([manifests, manifests])
    expect(storage.calls.filter((call) => call === `read ${manifestPath(0)}`)).toHaveLength(1)
  })

  test('notices a hole that appears behind its back', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    const reader = collectingReader(storage)
    await reader.refresh()
    for (let n = 0; n < 5; n++) await log.publish(draftOf([]))
    await storage.delete(manifestPath(3))
    await expect(reader.refresh()).rejects.toThrow(withCode('STAGING_LOG_GAP'))
    await expect(reader.refresh()).rejects.toThrow(manifestPath(3))
  })

  test('notices a wide hole in the long run', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    const reader = collectingReader(storage)
    const quiet = async (): Promise<void> => {
      for (let n = 0; n < 1024; n++) await reader.refresh()
    }
    await reader.refresh()
    await quiet()
    for (let n = 0; n < 5; n++) await log.publish(draftOf([]))
    for (const commit of [1, 2, 3]) await storage.delete(manifestPath(commit))
    await expect(quiet()).rejects.toThrow(withCode('STAGING_LOG_GAP'))
  })

  test('follows a front that a purge moves, even past all it knew', async () => {
    const storage = createMemoryStorage()
    const log = await openTestLog(storage)
    for (let n = 0; n < 9; n++) await log.publish(draftOf([]))
    const [slow, quick] = [collectingReader(storage), collectingReader(storage)]
    await slow.refresh()
    for (let n = 0; n < 10; n++) await log.publish(draftOf([]))
    await quick.refresh()
    const base = { first: 15, last_sequence: '3', tables: [] }
    await storage.write(logBasePath, encodeLogBase(base))
    for (let n = 0; n < 12; n++) await storage.delete(manifestPath(n))
    for (const reader of [slow, quick, collectingReader(storage)]) {
      const seen = await reader.refresh()
      expect(seen.map(({ commit }) => commit)).toEqual([15, 16, 17, 18, 19])
      expect(reader.firstCommit()).toBe(15)
      expect(reader.base()).toEqual(base)
    }
  })

  test('takes a purge in mid-read for what it is', async () => {
    const inner = createMemoryStorage()
    const log = await openTestLog(inner)
    for (let n = 0; n < 9; n++) await log.publish(draftOf([]))
    let isPurged = false
    const storage = {
      ...inner,
      async read(path: string) {
        if (path === manifestPath(0) && !isPurged) {
          isPurged = true
          await inner.write(logBasePath, encodeLogBase({ first: 4, tables: [] }))
          for (let n = 0; n < 4; n++) await inner.delete(manifestPath(n))
        }
        return inner.read(path)
      },
    }
    const reader = collectingReader(storage)
    expect((await reader.refresh()).map(({ commit }) => commit)).toEqual([4, 5, 6, 7, 8, 9])
  })

  test('refuses a damaged base', async () => {
    const storage = createMemoryStorage()
    await openTestLog(storage)
    await storage.write(logBasePath, encodeLogBase({ first: 0, tables: [] }).subarray(1))
    const reader = collectingReader(storage)
    await expect(reader.refresh()).rejects.toThrow(withCode('STAGING_MANIFEST_UNREADABLE'))
  })
})

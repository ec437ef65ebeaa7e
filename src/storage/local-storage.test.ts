/** What only a disk has: unfinished temporaries, hard links, errors of the system. */
import { mkdtemp, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { removeStaleTemporaries, temporaryBeside } from './durable-file.ts'
import { createFaultyStorage } from './faulty-storage.ts'
import { createLocalStorage } from './local-storage.ts'
import { createMemoryStorage } from './memory-storage.ts'
import { storageError } from './storage-error.ts'

let root = ''
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'sluice-local-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

const bytes = new TextEncoder().encode('content')

test('a finished write leaves no temporary behind', async () => {
  const storage = createLocalStorage(root)
  await storage.write('a/x', bytes)
  await storage.writeIfAbsent('a/x', bytes)
  await storage.writeIfAbsent('a/y', bytes)
  await storage.linkFrom(storage, 'a/y', 'a/z')
  await storage.linkFrom(storage, 'a/y', 'a/y')
  expect((await readdir(join(root, 'a'))).toSorted()).toEqual(['x', 'y', 'z'])
  expect((await stat(join(root, 'a/z'))).ino).toBe((await stat(join(root, 'a/y'))).ino)
})

test('a failed publication leaves neither an object nor a temporary', async () => {
  const storage = createLocalStorage(root)
  await storage.write('folder/x', bytes)
  // A folder of that name stands in the way of the rename.
  await expect(storage.write('folder', bytes)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  const writer = await storage.openWriter('folder')
  await writer.write(bytes)
  await expect(writer.close()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  expect(await readdir(root)).toEqual(['folder'])
})

test('put-if-absent stopped before its link has published nothing', async () => {
  const seen: string[] = []
  const storage = createLocalStorage(root, {
    beforeLink(path) {
      seen.push(path)
      if (path === 'stop') throw new Error('stopped here')
    },
  })
  expect(await storage.writeIfAbsent('go', bytes)).toBe(true)
  await expect(storage.writeIfAbsent('stop', bytes)).rejects.toMatchObject({
    code: 'STORAGE_FAILED',
  })
  expect(seen).toEqual(['go', 'stop'])
  expect(await storage.stat('stop')).toBeUndefined()
  expect(await storage.read('go')).toEqual(Buffer.from(bytes))
})

test('temporaries are never listed, and only stale ones are swept', async () => {
  const storage = createLocalStorage(root)
  await storage.write('a/b/x', bytes)
  const stale = temporaryBeside(join(root, 'a/b/x'))
  const fresh = temporaryBeside(join(root, 'a/b/x'))
  await writeFile(stale, 'torn')
  await writeFile(fresh, 'being written')
  await utimes(stale, 1000, 1000)
  const listed: string[] = []
  for await (const info of storage.list('')) listed.push(info.path)
  expect(listed).toEqual(['a/b/x'])
  expect(await removeStaleTemporaries(root, 3_600_000)).toBe(1)
  expect(await removeStaleTemporaries(join(root, 'missing'), 0)).toBe(0)
  expect(await readdir(join(root, 'a/b'))).toHaveLength(2)
})

test.each([
  ['ENOSPC', 'STORAGE_FULL'],
  ['EDQUOT', 'STORAGE_FULL'],
  ['EACCES', 'STORAGE_FORBIDDEN'],
  ['EROFS', 'STORAGE_FORBIDDEN'],
  ['EIO', 'STORAGE_FAILED'],
])('%s is %s and names the path', (errno, code) => {
  const error = storageError('write', '/lake/t/x', Object.assign(new Error(errno), { code: errno }))
  expect(error.code).toBe(code)
  expect(error.message).toBe(`can not write /lake/t/x: ${errno}`)
})

test('linkFrom() refuses an object that is not on this machine', async () => {
  const far = createMemoryStorage()
  await far.write('x', bytes)
  const link = createLocalStorage(root).linkFrom(far, 'x', 'x')
  await expect(link).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
})

test('the faulty storage does what each fault says', async () => {
  const inner = createMemoryStorage()
  const storage = createFaultyStorage(inner, ({ count }) =>
    count === 1 ? 'fail' : count === 2 ? 'full' : count === 3 ? 'lost-response' : 'torn',
  )
  await expect(storage.write('a', bytes)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  await expect(storage.write('b', bytes)).rejects.toMatchObject({ code: 'STORAGE_FULL' })
  await expect(storage.writeIfAbsent('c', bytes)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  await expect(storage.write('d', bytes)).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
  expect(await inner.read('a')).toBeUndefined()
  expect(await inner.read('b')).toBeUndefined()
  expect((await inner.read('c'))?.byteLength).toBe(7)
  expect((await inner.read('d'))?.byteLength).toBe(3)
  expect(storage.writeCount).toBe(4)
})

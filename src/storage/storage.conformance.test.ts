/** The promises of ObjectStorage, checked on every implementation. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { hasCode } from '../base/errors.ts'
import { createLocalStorage } from './local-storage.ts'
import { createMemoryStorage } from './memory-storage.ts'
import type { ObjectStorage } from './object-storage.ts'

const folder = await mkdtemp(join(tmpdir(), 'sluice-storage-'))
afterAll(() => rm(folder, { recursive: true, force: true }))
let serial = 0
const implementations: Record<string, () => ObjectStorage> = {
  local: () => createLocalStorage(join(folder, String(serial++), 'made', 'by-first-write')),
  memory: () => createMemoryStorage(),
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value)

async function pathsOf(storage: ObjectStorage, prefix: string, after?: string): Promise<string[]> {
  const paths: string[] = []
  for await (const info of storage.list(prefix, after)) paths.push(info.path)
  return paths
}

describe.each(Object.keys(implementations))('%s storage', (name) => {
  const create = (): ObjectStorage => {
    const make = implementations[name]
    if (make === undefined) throw new RangeError(name)
    return make()
  }

  test('reads back what was written, and replaces it whole', async () => {
    const storage = create()
    expect(await storage.read('a/b')).toBeUndefined()
    expect(await storage.stat('a/b')).toBeUndefined()
    await storage.write('a/b', bytes('a longer first version'))
    await storage.write('a/b', bytes('second'))
    expect(text(await storage.read('a/b'))).toBe('second')
    expect(await storage.stat('a/b')).toMatchObject({ path: 'a/b', sizeBytes: 6 })
    expect(await storage.read('a')).toBeUndefined()
    expect(await storage.stat('a')).toBeUndefined()
    expect(await storage.read('a/b/c')).toBeUndefined()
  })

  test('writeIfAbsent() lets exactly one of many writers win', async () => {
    const storage = create()
    const won = await Promise.all(
      Array.from({ length: 20 }, (_, n) => storage.writeIfAbsent('log/0.json', bytes(`w${n}`))),
    )
    expect(won.filter(Boolean)).toHaveLength(1)
    expect(text(await storage.read('log/0.json'))).toBe(`w${won.indexOf(true)}`)
    expect(await pathsOf(storage, '')).toEqual(['log/0.json'])
  })

  test('readRange() gives exactly the range and refuses a short or missing object', async () => {
    const storage = create()
    await storage.write('x', bytes('0123456789'))
    expect(text(await storage.readRange('x', 3, 7))).toBe('3456')
    expect(text(await storage.readRange('x', 0, 10))).toBe('0123456789')
    const codes = await Promise.all(
      [storage.readRange('x', 5, 11), storage.readRange('missing', 0, 1)].map((read) =>
        read.then(
          () => false,
          (error: unknown) => hasCode(error, 'STORAGE_OBJECT_MISSING'),
        ),
      ),
    )
    expect(codes).toEqual([true, true])
  })

  test('a writer shows nothing before close() and nothing after abort()', async () => {
    const storage = create()
    const writer = await storage.openWriter('data/part.parquet')
    await writer.write(bytes('abc'))
    await writer.write([bytes('de'), bytes(''), bytes('f')])
    expect(await pathsOf(storage, '')).toEqual([])
    expect(await writer.close()).toBe(6)
    await writer.abort()
    expect(text(await storage.read('data/part.parquet'))).toBe('abcdef')

    const dropped = await storage.openWriter('data/dropped')
    await dropped.write(bytes('abc'))
    await dropped.abort()
    await dropped.abort()
    await expect(dropped.close()).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(await pathsOf(storage, '')).toEqual(['data/part.parquet'])
  })

  test('a caller may reuse its buffer once a write has resolved', async () => {
    const storage = create()
    const buffer = Buffer.from('first')
    const writer = await storage.openWriter('streamed')
    await writer.write(buffer)
    await storage.write('plain', buffer)
    buffer.fill(0)
    await writer.close()
    expect(text(await storage.read('streamed'))).toBe('first')
    expect(text(await storage.read('plain'))).toBe('first')
  })

  test('list() is ascending by whole path over folders, by prefix and after a path', async () => {
    const segment = fc.constantFrom('a', 'a-b', 'a.b', 'a0', 'b', '_delta_log', 'z y', 'é')
    const path = fc.array(segment, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'))
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(path, { maxLength: 12 }),
        path,
        fc.nat(4),
        async (wanted, other, cut) => {
          // A file can not also be a folder on a disk.
          const paths = wanted.filter((one) => !wanted.some((two) => two.startsWith(`${one}/`)))
          const storage = create()
          for (const one of paths) await storage.write(one, bytes(one))
          const prefix = other.slice(0, cut)
          const matching = paths.filter((one) => one.startsWith(prefix)).toSorted()
          expect(await pathsOf(storage, prefix)).toEqual(matching)
          const after = matching.filter((one) => one > other)
          expect(await pathsOf(storage, prefix, other)).toEqual(after)
        },
      ),
      { numRuns: 25 },
    )
  })

  test('linkFrom() publishes the same bytes, which outlive the original', async () => {
    const storage = create()
    const other = create()
    await storage.write('from', bytes('shared'))
    await other.linkFrom(storage, 'from', 'deep/to')
    await other.linkFrom(storage, 'from', 'deep/to')
    await storage.delete('from')
    expect(text(await other.read('deep/to'))).toBe('shared')
    expect(await pathsOf(other, '')).toEqual(['deep/to'])
    await expect(other.linkFrom(storage, 'from', 'again')).rejects.toMatchObject({
      code: 'STORAGE_OBJECT_MISSING',
    })
  })

  test('delete() forgets an object and does not mind a missing one', async () => {
    const storage = create()
    await storage.delete('nothing/here')
    await storage.write('x', bytes('x'))
    await storage.delete('x')
    expect(await storage.read('x')).toBeUndefined()
  })

  test.each(['', '/a', 'a/', 'a//b', '../a', 'a/../../b', './a', 'a\0b'])(
    'refuses the path %j',
    async (path) => {
      const storage = create()
      const write = (async () => storage.write(path, bytes('x')))()
      await expect(write).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    },
  )
})

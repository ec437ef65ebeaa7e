import { randomBytes } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { compressZstd } from './compress.ts'

async function frameOf(page: Uint8Array, level: number): Promise<Buffer> {
  return Buffer.concat(await compressZstd(page, level))
}

test('every page is a frame of its own, whatever its size and what is compressed beside it', async () => {
  const sizes = [0, 1, 1023, 1024, 70_000, 262_144, 3_000_000]
  const pages = sizes.flatMap((size) => [
    Buffer.alloc(size, 7),
    randomBytes(size),
    Buffer.from('a page '.repeat(Math.ceil(size / 7))),
  ])
  const compressed = await Promise.all([...pages, ...pages].map((page) => frameOf(page, 1)))
  compressed.forEach((frame, index) => {
    expect(zstdDecompressSync(frame).equals(pages[index % pages.length] as Buffer)).toBe(true)
  })
})

test('a page keeps the level it was asked for', async () => {
  const page = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `${i * 7919}`).join(' '))
  const [fast, small] = await Promise.all([frameOf(page, 1), frameOf(page, 19)])
  expect(small.length).toBeLessThan(fast.length)
})

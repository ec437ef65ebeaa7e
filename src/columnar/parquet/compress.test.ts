import { randomBytes } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { compressZstd, releaseCompressed } from './compress.ts'

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

test('memory of pages is freed when all that lies in it is released, and never before', async () => {
  const seen = new Set<ArrayBufferLike>()
  const waiting: { readonly page: Buffer; readonly pieces: readonly Uint8Array[] }[] = []
  for (let turn = 0; turn < 60; turn++) {
    const pages = [20_000, 90_000, 300_000].map((size) => randomBytes(size))
    const frames = await Promise.all(pages.map((page) => compressZstd(page, 1)))
    pages.forEach((page, at) => waiting.push({ page, pieces: frames[at] ?? [] }))
    // Out of turn, and some are kept for a while.
    const [next] = waiting.splice((turn * 7) % waiting.length, 1)
    for (const { page, pieces } of [...(next === undefined ? [] : [next]), ...waiting.splice(9)]) {
      for (const { buffer } of pieces) seen.add(buffer)
      expect(zstdDecompressSync(Buffer.concat(pieces)).equals(page)).toBe(true)
      releaseCompressed(pieces)
    }
  }
  for (const { page, pieces } of waiting) {
    expect(zstdDecompressSync(Buffer.concat(pieces)).equals(page)).toBe(true)
  }
  const freed = [...seen].filter(({ byteLength }) => byteLength === 0)
  expect(freed.length).toBeGreaterThan(40)
})

test('bytes of somebody else are never freed', () => {
  const foreign = Buffer.allocUnsafeSlow(262_144)
  releaseCompressed([foreign, foreign.subarray(5)])
  expect(foreign.byteLength).toBe(262_144)
})

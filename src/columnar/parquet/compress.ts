/**
 * Page compression. Spec: parquet-format Compression.md, "ZSTD": one frame a page.
 * Small pages are compressed at once, since a trip to the thread pool costs more than they do;
 * larger ones by the pool, many at the same time.
 */
import { constants, zstdCompress, zstdCompressSync, type ZstdOptions } from 'node:zlib'

const smallestPoolBytes = 32_768

export function compressZstd(bytes: Uint8Array, level: number): Promise<Uint8Array> {
  const options: ZstdOptions = {
    // Most pages shrink to less than a quarter, and then come in one piece from one call.
    chunkSize: (bytes.length >> 2) + 1024,
    pledgedSrcSize: bytes.length,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  }
  if (bytes.length < smallestPoolBytes) return Promise.resolve(zstdCompressSync(bytes, options))
  return inTurn(
    () =>
      new Promise((resolve, reject) => {
        zstdCompress(bytes, options, (error, compressed) => {
          // The result may be the head of that larger buffer: keep no more than is needed.
          if (error === null) resolve(new Uint8Array(compressed))
          else reject(error)
        })
      }),
  )
}

/**
 * Pages given to the thread pool at one time. Each holds a few megabytes outside the heap while it
 * waits, and it has no more threads than this (unless UV_THREADPOOL_SIZE says so).
 */
const mostInPool = 4
let inPool = 0
const waiting: (() => void)[] = []

async function inTurn<T>(work: () => Promise<T>): Promise<T> {
  if (inPool === mostInPool) await new Promise<void>((resolve) => waiting.push(resolve))
  else inPool++
  try {
    return await work()
  } finally {
    // Whoever is next takes the place over.
    const next = waiting.shift()
    if (next === undefined) inPool--
    else next()
  }
}

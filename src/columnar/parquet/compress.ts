/**
 * Page compression. Spec: parquet-format Compression.md, "ZSTD": one frame a page.
 * Small pages are compressed at once, since a trip to the thread pool costs more than they do;
 * larger ones by the pool, many at the same time.
 */
import { constants, zstdCompress, zstdCompressSync, type ZstdOptions } from 'node:zlib'

const smallestPoolBytes = 32_768

export function compressZstd(bytes: Uint8Array, level: number): Promise<Uint8Array> {
  const options: ZstdOptions = {
    // Most pages shrink to less than half, and then come in one piece from one call.
    chunkSize: (bytes.length >> 1) + 1024,
    pledgedSrcSize: bytes.length,
    params: { [constants.ZSTD_c_compressionLevel]: level },
  }
  if (bytes.length < smallestPoolBytes) return Promise.resolve(zstdCompressSync(bytes, options))
  return new Promise((resolve, reject) => {
    zstdCompress(bytes, options, (error, compressed) => {
      // The result may be the head of that larger buffer: keep no more than is needed.
      if (error === null) resolve(new Uint8Array(compressed))
      else reject(error)
    })
  })
}

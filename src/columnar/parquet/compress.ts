/**
 * Page compression. Spec: parquet-format Compression.md, "ZSTD": one frame a page.
 *
 * A compressor is kept and ends a frame for every page. One of its own for each page costs more than
 * compressing it: its tables lie outside the heap, and the garbage collector, which counts them,
 * runs all the time.
 */
import {
  constants,
  createZstdCompress,
  type ZstdCompress,
  type ZstdOptions,
  zstdCompressSync,
} from 'node:zlib'

/** Below this a trip to the thread pool costs more than the page does. */
const smallestPoolBytes = 1024
/** Pieces in which compressed bytes come; several pages share one. */
const outputBytes = 256 * 1024
/** As many as the thread pool has threads, unless UV_THREADPOOL_SIZE says otherwise. */
const mostCompressors = 4

/** The frame, in pieces: joining them would make as much garbage again as there are bytes. */
export function compressZstd(bytes: Uint8Array, level: number): Promise<readonly Uint8Array[]> {
  if (bytes.length >= smallestPoolBytes) return poolOf(level).compress(bytes)
  const options: ZstdOptions = { pledgedSrcSize: bytes.length, params: parametersOf(level) }
  return Promise.resolve([zstdCompressSync(bytes, options)])
}

function parametersOf(level: number): NonNullable<ZstdOptions['params']> {
  return { [constants.ZSTD_c_compressionLevel]: level }
}

/** Pieces in an output buffer that are still needed, and whether more can come. */
interface OutputUse {
  pieces: number
  isFull: boolean
}

const outputs = new WeakMap<ArrayBufferLike, OutputUse>()

function noteOutput({ buffer, byteOffset, byteLength }: Uint8Array): void {
  // Only what is certain to be the stream's alone.
  if (buffer.byteLength !== outputBytes) return
  let use = outputs.get(buffer)
  if (use === undefined) outputs.set(buffer, (use = { pieces: 0, isFull: false }))
  use.pieces++
  // The stream never looks at a buffer again that it has filled.
  if (byteOffset + byteLength === outputBytes) use.isFull = true
}

/**
 * Nobody looks at these bytes of a file any more, each given once: memory of compressed pages is
 * freed, pieces of anybody else are let alone. Left to the garbage collector, whose heap is small
 * beside them, they would make it run all the time.
 */
export function releaseCompressed(pieces: readonly Uint8Array[]): void {
  for (const { buffer } of pieces) {
    const use = outputs.get(buffer)
    if (use === undefined) continue
    use.pieces--
    if (use.pieces > 0 || !use.isFull || !(buffer instanceof ArrayBuffer)) continue
    outputs.delete(buffer)
    buffer.transfer(0)
  }
}

/** One page at a time. */
class Compressor {
  readonly #stream: ZstdCompress
  #pieces: Uint8Array[] = []
  #fail: (error: Error) => void = () => undefined
  hasFailed = false

  constructor(level: number) {
    this.#stream = createZstdCompress({
      chunkSize: outputBytes,
      params: parametersOf(level),
      // Every write ends a frame, in one trip to the thread pool.
      flush: constants.ZSTD_e_end,
    })
    this.#stream.on('data', (piece: Uint8Array) => {
      noteOutput(piece)
      this.#pieces.push(piece)
    })
    this.#stream.on('error', (error) => {
      this.hasFailed = true
      this.#fail(error)
    })
  }

  compress(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      this.#fail = reject
      this.#stream.write(bytes, () => {
        const pieces = this.#pieces
        this.#pieces = []
        resolve(pieces)
      })
    })
  }
}

class CompressorPool {
  readonly #level: number
  readonly #free: Compressor[] = []
  readonly #waiting: ((compressor: Compressor) => void)[] = []
  #count = 0

  constructor(level: number) {
    this.#level = level
  }

  async compress(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    const compressor = await this.#take()
    try {
      return await compressor.compress(bytes)
    } finally {
      this.#give(compressor.hasFailed ? new Compressor(this.#level) : compressor)
    }
  }

  #take(): Compressor | Promise<Compressor> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#count < mostCompressors) {
      this.#count++
      return new Compressor(this.#level)
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Whoever waits longest takes it over. */
  #give(compressor: Compressor): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(compressor)
    else next(compressor)
  }
}

const pools = new Map<number, CompressorPool>()

function poolOf(level: number): CompressorPool {
  let pool = pools.get(level)
  if (pool === undefined) {
    pool = new CompressorPool(level)
    pools.set(level, pool)
  }
  return pool
}

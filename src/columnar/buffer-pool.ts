/**
 * Buffers of batches, used again. Without this every megabyte of rows is a megabyte of new memory:
 * the kernel clears each page of it, and the collector, which counts memory outside its heap, runs
 * a full collection every few batches although there is hardly anything to collect.
 */

/** Smaller ones are not worth keeping. */
const smallestBytes = 16 * 1024
/** Larger ones are rare, and one of them would fill the pool. */
const largestBytes = 32 * 1024 * 1024
/** What the pool holds at most: what is in flight at full speed, or it is given up and made anew. */
const capacityBytes = 64 * 1024 * 1024

/** By size; the size that was asked for last stands last. */
const free = new Map<number, ArrayBuffer[]>()
/** Handed out and not given back: so nothing comes back twice, and nothing that is not ours. */
const inUse = new WeakSet<ArrayBufferLike>()
let freeBytes = 0
let takenSinceTrim = 0

/** At least `bytes` long, its content is anything. */
export function takeBuffer(bytes: number): ArrayBuffer {
  if (bytes < smallestBytes || bytes > largestBytes) return Buffer.allocUnsafeSlow(bytes).buffer
  takenSinceTrim++
  const buffer = takeFree(bytes) ?? Buffer.allocUnsafeSlow(sizeClass(bytes)).buffer
  inUse.add(buffer)
  return buffer
}

/** The smallest that has room, unless a third of it would be for nothing. */
function takeFree(bytes: number): ArrayBuffer | undefined {
  let best = Math.floor(bytes * 1.5) + 1
  for (const size of free.keys()) if (size >= bytes && size < best) best = size
  const buffers = free.get(best)
  const buffer = buffers?.pop()
  if (buffers === undefined || buffer === undefined) return undefined
  freeBytes -= best
  free.delete(best)
  if (buffers.length > 0) free.set(best, buffers)
  return buffer
}

/** For another use: nobody may look at it any more. A buffer of somebody else is let alone. */
export function giveBuffer(buffer: ArrayBufferLike): void {
  if (!inUse.delete(buffer)) return
  const size = buffer.byteLength
  const others = free.get(size)
  if (others === undefined) free.set(size, [buffer as ArrayBuffer])
  else others.push(buffer as ArrayBuffer)
  freeBytes += size
  while (freeBytes > capacityBytes) dropOldest()
}

/** What nobody has asked for in the longest time: batches of another shape left it behind. */
function dropOldest(): void {
  for (const [size, buffers] of free) {
    buffers.pop()
    freeBytes -= size
    if (buffers.length === 0) free.delete(size)
    return
  }
}

/** Gives the memory up when nobody has asked for any since the last call; called now and then. */
export function trimBuffers(): void {
  if (takenSinceTrim === 0) {
    free.clear()
    freeBytes = 0
  }
  takenSinceTrim = 0
}

/** The next of four steps to a power of two: at most a quarter of a buffer is not needed. */
function sizeClass(bytes: number): number {
  const step = 2 ** Math.max(12, 29 - Math.clz32(bytes - 1))
  return Math.ceil(bytes / step) * step
}

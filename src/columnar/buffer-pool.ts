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

const free = new Map<number, ArrayBuffer[]>()
/** Handed out and not given back: so nothing comes back twice, and nothing that is not ours. */
const inUse = new WeakSet<ArrayBufferLike>()
let freeBytes = 0
let takenSinceTrim = 0

/** At least `bytes` long, its content is anything. */
export function takeBuffer(bytes: number): ArrayBuffer {
  if (bytes < smallestBytes || bytes > largestBytes) return Buffer.allocUnsafeSlow(bytes).buffer
  takenSinceTrim++
  const size = sizeClass(bytes)
  let buffer = free.get(size)?.pop()
  if (buffer === undefined) buffer = Buffer.allocUnsafeSlow(size).buffer
  else freeBytes -= size
  inUse.add(buffer)
  return buffer
}

/** For another use: nobody may look at it any more. A buffer of somebody else is let alone. */
export function giveBuffer(buffer: ArrayBufferLike): void {
  if (!inUse.delete(buffer)) return
  const size = buffer.byteLength
  if (freeBytes + size > capacityBytes) return
  const others = free.get(size)
  if (others === undefined) free.set(size, [buffer as ArrayBuffer])
  else others.push(buffer as ArrayBuffer)
  freeBytes += size
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

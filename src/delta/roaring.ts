/**
 * 32-bit Roaring bitmaps in the portable serialisation (RoaringFormatSpec), as sorted arrays on
 * our side: decode to positions, encode from positions. Encoding is run-optimised the way the
 * Java library does it, so vectors come out byte for byte as Spark writes them.
 */
import { SluiceError } from '../base/errors.ts'

/** "Cookie header": without and with run containers. */
const cookieNoRuns = 12346
const cookieRuns = 12347
/** Below this many containers a bitmap with runs has no offset header. */
const offsetThreshold = 4
/** The largest array container; a bigger one is a bitmap of 8 KiB. */
const arrayMax = 4096
const bitmapBytes = 8192

export interface DecodedRoaring {
  /** Ascending. */
  readonly values: Uint32Array
  /** Bytes of `bytes` that the bitmap took. */
  readonly byteLength: number
}

/** Reads one bitmap at `start`. Throws DELTA_DELETION_VECTOR_CORRUPT when it is torn or unordered. */
export function decodeRoaring(bytes: Uint8Array, start: number): DecodedRoaring {
  try {
    return decodeAt(bytes, start)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw corrupt('it ends too early', error)
  }
}

function decodeAt(bytes: Uint8Array, start: number): DecodedRoaring {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const cookie = view.getUint32(start, true)
  const hasRuns = (cookie & 0xffff) === cookieRuns
  if (!hasRuns && cookie !== cookieNoRuns) throw corrupt(`its cookie is ${cookie}`)
  const count = hasRuns ? (cookie >>> 16) + 1 : view.getUint32(start + 4, true)
  if (count > 65_536) throw corrupt(`it has ${count} containers`)
  let at = start + (hasRuns ? 4 : 8)
  const runFlags = at
  if (hasRuns) at += (count + 7) >> 3
  const header = at
  at += count * 4
  if (!hasRuns || count >= offsetThreshold) at += count * 4
  let total = 0
  for (let n = 0; n < count; n++) total += view.getUint16(header + n * 4 + 2, true) + 1
  const out: Output = { values: new Uint32Array(total), filled: 0 }
  let previousKey = -1
  for (let n = 0; n < count; n++) {
    const key = view.getUint16(header + n * 4, true)
    const cardinality = view.getUint16(header + n * 4 + 2, true) + 1
    if (key <= previousKey) throw corrupt('its containers are not in order')
    previousKey = key
    const isRun = hasRuns && ((view.getUint8(runFlags + (n >> 3)) >> (n & 7)) & 1) === 1
    const base = key * 65_536
    const before = out.filled
    if (isRun) at = readRuns(view, at, { base, out })
    else if (cardinality > arrayMax) at = readBitmap(view, at, { base, out })
    else at = readArray(view, at, { base, out, cardinality })
    if (out.filled - before !== cardinality) throw corrupt('a container has another cardinality')
  }
  return { values: out.values, byteLength: at - start }
}

interface Output {
  readonly values: Uint32Array
  filled: number
}

interface Target {
  /** The high 16 bits of the container's values. */
  readonly base: number
  readonly out: Output
}

function readArray(view: DataView, at: number, to: Target & { cardinality: number }): number {
  let previous = -1
  for (let n = 0; n < to.cardinality; n++) {
    const low = view.getUint16(at + n * 2, true)
    if (low <= previous) throw corrupt('an array container is not in order')
    previous = low
    to.out.values[to.out.filled++] = to.base + low
  }
  return at + to.cardinality * 2
}

function readBitmap(view: DataView, at: number, { base, out }: Target): number {
  for (let word = 0; word < bitmapBytes / 4; word++) {
    let bits = view.getUint32(at + word * 4, true)
    while (bits !== 0) {
      const bit = 31 - Math.clz32(bits & -bits)
      out.values[out.filled++] = base + word * 32 + bit
      bits &= bits - 1
    }
  }
  return at + bitmapBytes
}

function readRuns(view: DataView, at: number, { base, out }: Target): number {
  const runs = view.getUint16(at, true)
  let previous = -1
  for (let n = 0; n < runs; n++) {
    const first = view.getUint16(at + 2 + n * 4, true)
    const last = first + view.getUint16(at + 4 + n * 4, true)
    if (first <= previous || last > 65_535) throw corrupt('a run container is not in order')
    previous = last
    for (let low = first; low <= last; low++) out.values[out.filled++] = base + low
  }
  return at + 2 + runs * 4
}

interface Container {
  readonly key: number
  /** Its values are `values[from, to)`. */
  readonly from: number
  readonly to: number
  readonly runs: number
  readonly form: 'array' | 'bitmap' | 'run'
  readonly byteLength: number
}

/** `values` strictly ascending; the caller has checked. */
export function encodeRoaring(values: Uint32Array): Uint8Array {
  const containers = splitContainers(values)
  const count = containers.length
  const hasRuns = containers.some((container) => container.form === 'run')
  const flagBytes = hasRuns ? (count + 7) >> 3 : 0
  const offsetBytes = !hasRuns || count >= offsetThreshold ? count * 4 : 0
  const header = (hasRuns ? 4 + flagBytes : 8) + count * 4 + offsetBytes
  const total = containers.reduce((sum, container) => sum + container.byteLength, header)
  const bytes = new Uint8Array(total)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, hasRuns ? (cookieRuns | ((count - 1) << 16)) >>> 0 : cookieNoRuns, true)
  if (!hasRuns) view.setUint32(4, count, true)
  const descriptors = hasRuns ? 4 + flagBytes : 8
  let at = header
  containers.forEach((container, n) => {
    if (container.form === 'run')
      view.setUint8(4 + (n >> 3), view.getUint8(4 + (n >> 3)) | (1 << (n & 7)))
    view.setUint16(descriptors + n * 4, container.key, true)
    view.setUint16(descriptors + n * 4 + 2, container.to - container.from - 1, true)
    if (offsetBytes > 0) view.setUint32(descriptors + count * 4 + n * 4, at, true)
    writeContainer(view, at, { values, container })
    at += container.byteLength
  })
  return bytes
}

function splitContainers(values: Uint32Array): Container[] {
  const containers: Container[] = []
  for (let from = 0; from < values.length;) {
    const key = (values[from] as number) >>> 16
    let to = from + 1
    let runs = 1
    while (to < values.length && (values[to] as number) >>> 16 === key) {
      if (values[to] !== (values[to - 1] as number) + 1) runs++
      to++
    }
    const plainBytes = to - from > arrayMax ? bitmapBytes : (to - from) * 2
    const runBytes = 2 + runs * 4
    const plain = to - from > arrayMax ? 'bitmap' : 'array'
    const isRun = runBytes < plainBytes
    containers.push({
      key,
      from,
      to,
      runs,
      form: isRun ? 'run' : plain,
      byteLength: isRun ? runBytes : plainBytes,
    })
    from = to
  }
  return containers
}

function writeContainer(
  view: DataView,
  start: number,
  { values, container }: { readonly values: Uint32Array; readonly container: Container },
): void {
  const { from, to, form } = container
  if (form === 'array') {
    for (let n = from; n < to; n++) {
      view.setUint16(start + (n - from) * 2, (values[n] as number) & 0xffff, true)
    }
  } else if (form === 'bitmap') {
    for (let n = from; n < to; n++) {
      const low = (values[n] as number) & 0xffff
      const byte = start + (low >> 3)
      view.setUint8(byte, view.getUint8(byte) | (1 << (low & 7)))
    }
  } else {
    view.setUint16(start, container.runs, true)
    let at = start + 2
    for (let n = from; n < to;) {
      const first = values[n] as number
      let length = 0
      while (n + length + 1 < to && values[n + length + 1] === first + length + 1) length++
      view.setUint16(at, first & 0xffff, true)
      view.setUint16(at + 2, length, true)
      at += 4
      n += length + 1
    }
  }
}

function corrupt(why: string, cause?: unknown): SluiceError {
  return new SluiceError('DELTA_DELETION_VECTOR_CORRUPT', `a Roaring bitmap is broken: ${why}`, {
    cause,
  })
}

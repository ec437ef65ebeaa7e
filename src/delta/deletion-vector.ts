/**
 * Deletion vectors: row positions as bytes. PROTOCOL.md, "Deletion Vector Format" and "Deletion
 * Vector File Storage Format". 64-bit positions are buckets of 32-bit Roaring bitmaps.
 */
import { crc32 } from 'node:zlib'
import { SluiceError } from '../base/errors.ts'
import type { DeletionVectorDescriptor } from './actions.ts'
import { decodeRoaring, encodeRoaring } from './roaring.ts'
import { decodeZ85, encodeZ85 } from './z85.ts'

/** First bytes of a serialised vector ("RoaringTreemap" with Delta's magic), little endian. */
const magic = 1_681_511_377
/** First byte of a `.bin` file. */
const fileVersion = 1

/** Identity of a vector: with the path of its data file it names a logical file. */
export function deletionVectorId(descriptor: DeletionVectorDescriptor): string {
  const offset = descriptor.offset === undefined ? '' : `@${descriptor.offset}`
  return `${descriptor.storageType}${descriptor.pathOrInlineDv}${offset}`
}

/** `positions` strictly ascending. Throws DELTA_COMMIT_INVALID when they are not. */
export function encodePositions(positions: BigUint64Array): Uint8Array {
  const buckets = splitBuckets(positions)
  const parts = buckets.map(({ lows }) => encodeRoaring(lows))
  const total = parts.reduce((sum, part) => sum + 4 + part.byteLength, 12)
  const bytes = new Uint8Array(total)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, magic, true)
  view.setBigUint64(4, BigInt(buckets.length), true)
  let at = 12
  parts.forEach((part, n) => {
    view.setUint32(at, buckets[n]?.high ?? 0, true)
    bytes.set(part, at + 4)
    at += 4 + part.byteLength
  })
  return bytes
}

interface Bucket {
  readonly high: number
  readonly lows: Uint32Array
}

function splitBuckets(positions: BigUint64Array): Bucket[] {
  // Halves of the 64-bit numbers, without a bigint per row: every platform of Node is little endian.
  const halves = new Uint32Array(positions.buffer, positions.byteOffset, positions.length * 2)
  const buckets: Bucket[] = []
  for (let from = 0; from < positions.length;) {
    const high = halves[from * 2 + 1] as number
    let to = from
    while (to < positions.length && halves[to * 2 + 1] === high) to++
    const lows = new Uint32Array(to - from)
    for (let n = from; n < to; n++) {
      lows[n - from] = halves[n * 2] as number
      if (n > from && (lows[n - from] as number) <= (lows[n - from - 1] as number))
        throw unordered()
    }
    if (high <= (buckets.at(-1)?.high ?? -1)) throw unordered()
    buckets.push({ high, lows })
    from = to
  }
  return buckets
}

/** Throws DELTA_DELETION_VECTOR_CORRUPT. */
export function decodePositions(bytes: Uint8Array): BigUint64Array {
  if (bytes.byteLength < 12) throw corrupt('it ends too early')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = view.getUint32(0, true)
  if (found !== magic) throw corrupt(`its magic number is ${found}, not ${magic}`)
  const count = view.getBigUint64(4, true)
  if (count > BigInt(bytes.byteLength)) throw corrupt(`it claims ${count} buckets`)
  const buckets: Bucket[] = []
  let at = 12
  for (let n = 0n; n < count; n++) {
    if (at + 4 > bytes.byteLength) throw corrupt('it ends too early')
    const high = view.getUint32(at, true)
    if (high <= (buckets.at(-1)?.high ?? -1)) throw corrupt('its buckets are not in order')
    const decoded = decodeRoaring(bytes, at + 4)
    buckets.push({ high, lows: decoded.values })
    at += 4 + decoded.byteLength
  }
  return joinBuckets(buckets)
}

function joinBuckets(buckets: readonly Bucket[]): BigUint64Array {
  const total = buckets.reduce((sum, bucket) => sum + bucket.lows.length, 0)
  const positions = new BigUint64Array(total)
  const halves = new Uint32Array(positions.buffer)
  let at = 0
  for (const { high, lows } of buckets) {
    for (const low of lows) {
      halves[at] = low
      halves[at + 1] = high
      at += 2
    }
  }
  return positions
}

export interface EncodedVectorFile {
  readonly bytes: Uint8Array
  /** One per vector, in order. */
  readonly descriptors: readonly DeletionVectorDescriptor[]
}

/** All `vectors` as one file `deletion_vector_<uuid>.bin` in the table's root. */
export function encodeVectorFile(
  vectors: readonly BigUint64Array[],
  uuid: string,
): EncodedVectorFile {
  const pathOrInlineDv = encodeZ85(Buffer.from(uuid.replaceAll('-', ''), 'hex'))
  const chunks: Uint8Array[] = [Uint8Array.of(fileVersion)]
  const descriptors: DeletionVectorDescriptor[] = []
  let offset = 1
  for (const positions of vectors) {
    const payload = encodePositions(positions)
    const frame = Buffer.alloc(8)
    frame.writeInt32BE(payload.byteLength, 0)
    frame.writeUInt32BE(crc32(payload), 4)
    chunks.push(frame.subarray(0, 4), payload, frame.subarray(4))
    descriptors.push({
      storageType: 'u',
      pathOrInlineDv,
      offset,
      sizeInBytes: payload.byteLength,
      cardinality: positions.length,
    })
    offset += 8 + payload.byteLength
  }
  return { bytes: Buffer.concat(chunks), descriptors }
}

export function vectorFileName(uuid: string): string {
  return `deletion_vector_${uuid}.bin`
}

/** Path of the file a `u` descriptor names, relative to the table's root. */
export function relativeVectorPath(descriptor: DeletionVectorDescriptor): string {
  const text = descriptor.pathOrInlineDv
  const hex = Buffer.from(decodeZ85(text.slice(-20))).toString('hex')
  if (hex.length !== 32) throw corrupt(`"${text}" names no file`)
  const uuid = [8, 12, 16, 20, 32].map((to, n) => hex.slice([0, 8, 12, 16, 20][n], to)).join('-')
  const prefix = text.slice(0, -20)
  return (prefix === '' ? '' : `${prefix}/`) + vectorFileName(uuid)
}

/** Positions of an inline vector. */
export function decodeInlineVector(descriptor: DeletionVectorDescriptor): BigUint64Array {
  const padded = decodeZ85(descriptor.pathOrInlineDv)
  if (padded.byteLength < descriptor.sizeInBytes) throw corrupt('the inline text is too short')
  return checked(decodePositions(padded.subarray(0, descriptor.sizeInBytes)), descriptor)
}

/** Positions from the framed bytes of a file: length, payload, CRC-32. */
export function decodeFramedVector(
  frame: Uint8Array,
  descriptor: DeletionVectorDescriptor,
): BigUint64Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const { sizeInBytes } = descriptor
  if (view.getInt32(0) !== sizeInBytes) {
    throw corrupt(`the file says ${view.getInt32(0)} bytes, the log ${sizeInBytes}`)
  }
  const payload = frame.subarray(4, 4 + sizeInBytes)
  if (crc32(payload) !== view.getUint32(4 + sizeInBytes)) throw corrupt('its checksum differs')
  return checked(decodePositions(payload), descriptor)
}

/** Where the framed bytes of a stored vector lie in its file: start inclusive, end exclusive. */
export function framedRange(descriptor: DeletionVectorDescriptor): readonly [number, number] {
  const start = descriptor.offset ?? 1
  return [start, start + 8 + descriptor.sizeInBytes]
}

function checked(positions: BigUint64Array, descriptor: DeletionVectorDescriptor): BigUint64Array {
  if (positions.length !== descriptor.cardinality) {
    throw corrupt(`it marks ${positions.length} rows, the log says ${descriptor.cardinality}`)
  }
  return positions
}

/** Positions in either, ascending; both inputs strictly ascending. */
export function unionPositions(left: BigUint64Array, right: BigUint64Array): BigUint64Array {
  const out = new BigUint64Array(left.length + right.length)
  let size = 0
  let l = 0
  let r = 0
  while (l < left.length && r < right.length) {
    const a = left[l] as bigint
    const b = right[r] as bigint
    out[size++] = a < b ? a : b
    if (a <= b) l++
    if (b <= a) r++
  }
  for (; l < left.length; l++) out[size++] = left[l] as bigint
  for (; r < right.length; r++) out[size++] = right[r] as bigint
  return out.subarray(0, size)
}

function corrupt(why: string): SluiceError {
  return new SluiceError('DELTA_DELETION_VECTOR_CORRUPT', `a deletion vector is broken: ${why}`)
}

function unordered(): SluiceError {
  const text = 'the positions of a deletion vector are not strictly ascending'
  return new SluiceError('DELTA_COMMIT_INVALID', text)
}

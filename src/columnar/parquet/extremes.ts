/**
 * Smallest and largest value of a leaf column, by the orders of parquet-format LogicalTypes.md
 * (signed, or unsigned byte by byte) and the rules of "ColumnOrder" in parquet.thrift for floats.
 */
import type { ScalarType } from '../canonical-type.ts'
import { decimal128Bytes } from './schema-element.ts'

export type Extremes =
  /** There is no value. */
  | { readonly kind: 'none' }
  /** There is a NaN, which has no place in the order. */
  | { readonly kind: 'unordered' }
  /** boolean (0 and 1), 4-byte integers, floats. */
  | { readonly kind: 'number'; readonly min: number; readonly max: number }
  /** 8-byte integers and decimals of more than 18 digits. */
  | { readonly kind: 'bigint'; readonly min: bigint; readonly max: bigint }
  /** string and binary. */
  | { readonly kind: 'bytes'; readonly min: Uint8Array; readonly max: Uint8Array }

export const noExtremes: Extremes = { kind: 'none' }

/** Extremes of `values`, the PLAIN data of any type but string and binary. */
export function extremesOfFixed(type: ScalarType, values: Uint8Array): Extremes {
  if (values.length === 0) return noExtremes
  switch (type.kind) {
    case 'boolean':
      return extremesOfNumbers(values)
    case 'int8':
    case 'int16':
    case 'int32':
    case 'date':
      return extremesOfNumbers(int32View(values))
    case 'float32':
      return extremesOfFloats(float32View(values))
    case 'float64':
      return extremesOfFloats(float64View(values))
    case 'int64':
    case 'timestamp':
    case 'timestamp_ntz':
      return extremesOfInt64(int32View(values))
    case 'decimal':
      if (type.precision <= 9) return extremesOfNumbers(int32View(values))
      if (type.precision <= 18) return extremesOfInt64(int32View(values))
      return extremesOfDecimal128(values)
    default:
      throw new Error(`${type.kind} is not of fixed width`)
  }
}

/** The extremes of two sets of values of one type taken together. */
export function mergeExtremes(a: Extremes, b: Extremes): Extremes {
  if (a.kind === 'none' || b.kind === 'unordered') return b
  if (b.kind === 'none' || a.kind === 'unordered') return a
  if (a.kind === 'number' && b.kind === 'number') {
    return { kind: 'number', min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) }
  }
  if (a.kind === 'bigint' && b.kind === 'bigint') {
    return {
      kind: 'bigint',
      min: a.min < b.min ? a.min : b.min,
      max: a.max > b.max ? a.max : b.max,
    }
  }
  if (a.kind === 'bytes' && b.kind === 'bytes') {
    return {
      kind: 'bytes',
      min: Buffer.compare(a.min, b.min) <= 0 ? a.min : b.min,
      max: Buffer.compare(a.max, b.max) >= 0 ? a.max : b.max,
    }
  }
  throw new Error(`extremes of kind ${a.kind} and ${b.kind} do not belong to one column`)
}

function extremesOfNumbers(values: Int32Array | Uint8Array): Extremes {
  let min = values[0] as number
  let max = min
  for (let at = 1; at < values.length; at++) {
    const value = values[at] as number
    if (value < min) min = value
    if (value > max) max = value
  }
  return { kind: 'number', min, max }
}

function extremesOfFloats(values: Float32Array | Float64Array): Extremes {
  let min = Infinity
  let max = -Infinity
  let ordered = 0
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number
    if (value < min) min = value
    if (value > max) max = value
    // NaN is the one value that differs from itself.
    if (value === value) ordered++
  }
  return ordered === values.length ? { kind: 'number', min, max } : { kind: 'unordered' }
}

/** `words`: low and high half of each value. */
function extremesOfInt64(words: Int32Array): Extremes {
  let minLow = (words[0] as number) >>> 0
  let minHigh = words[1] as number
  let maxLow = minLow
  let maxHigh = minHigh
  for (let at = 2; at < words.length; at += 2) {
    const low = (words[at] as number) >>> 0
    const high = words[at + 1] as number
    if (high < minHigh || (high === minHigh && low < minLow)) {
      minHigh = high
      minLow = low
    }
    if (high > maxHigh || (high === maxHigh && low > maxLow)) {
      maxHigh = high
      maxLow = low
    }
  }
  return { kind: 'bigint', min: bigIntOf(minHigh, minLow), max: bigIntOf(maxHigh, maxLow) }
}

function bigIntOf(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low)
}

/** 16 bytes big endian a value: signed order is unsigned order once the sign bit is flipped. */
function extremesOfDecimal128(values: Uint8Array): Extremes {
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  let min = 0
  let max = 0
  for (let at = decimal128Bytes; at < values.length; at += decimal128Bytes) {
    if (compareDecimal128(view, at, min) < 0) min = at
    else if (compareDecimal128(view, at, max) > 0) max = at
  }
  return { kind: 'bigint', min: readDecimal128(view, min), max: readDecimal128(view, max) }
}

function compareDecimal128(view: DataView, a: number, b: number): number {
  const high = view.getInt32(a) - view.getInt32(b)
  if (high !== 0) return high
  for (let word = 4; word < decimal128Bytes; word += 4) {
    const difference = view.getUint32(a + word) - view.getUint32(b + word)
    if (difference !== 0) return difference
  }
  return 0
}

function readDecimal128(view: DataView, at: number): bigint {
  return (view.getBigInt64(at) << 64n) | view.getBigUint64(at + 8)
}

function int32View(values: Uint8Array): Int32Array {
  const bytes = alignedTo(4, values)
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

function float32View(values: Uint8Array): Float32Array {
  const bytes = alignedTo(4, values)
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

function float64View(values: Uint8Array): Float64Array {
  const bytes = alignedTo(8, values)
  return new Float64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 3)
}

/** Builders hand out aligned buffers; a batch made elsewhere may be a slice of something. */
function alignedTo(width: number, values: Uint8Array): Uint8Array {
  return values.byteOffset % width === 0 ? values : new Uint8Array(values)
}

/**
 * Statistics of a column chunk. Spec: "struct Statistics" and "union ColumnOrder" in
 * parquet.thrift. The deprecated fields `min` and `max` are left out.
 */
import type { ScalarType } from '../canonical-type.ts'
import type { Extremes } from './extremes.ts'
import { physicalType } from './format.ts'
import { decimal128Bytes, physicalTypeOf } from './schema-element.ts'
import { lowerBound, textOf, upperBound } from './text-bounds.ts'
import type { ThriftWriter } from './thrift-writer.ts'

/** Field ids of "struct Statistics". */
const field = { nullCount: 3, maxValue: 5, minValue: 6, isMaxExact: 7, isMinExact: 8 } as const

/** Longer strings and binaries are cut. */
const longestExactBytes = 64

interface Bound {
  readonly bytes: Uint8Array
  readonly isExact: boolean
}

/** `nullCount` counts levels that are not values, as every writer of nested columns does. */
export function writeChunkStatistics(
  thrift: ThriftWriter,
  fieldId: number,
  facts: { readonly type: ScalarType; readonly extremes: Extremes; readonly nullCount: number },
): void {
  const min = boundOf(facts.type, facts.extremes, 'min')
  const max = boundOf(facts.type, facts.extremes, 'max')
  thrift.struct(fieldId)
  thrift.i64(field.nullCount, facts.nullCount)
  if (max !== undefined) thrift.binary(field.maxValue, max.bytes)
  if (min !== undefined) thrift.binary(field.minValue, min.bytes)
  if (max !== undefined) thrift.bool(field.isMaxExact, max.isExact)
  if (min !== undefined) thrift.bool(field.isMinExact, min.isExact)
  thrift.end()
}

function boundOf(type: ScalarType, extremes: Extremes, side: 'min' | 'max'): Bound | undefined {
  switch (extremes.kind) {
    case 'none':
    case 'unordered':
      return undefined
    case 'number':
      return { bytes: plainNumber(type, extremes[side], side), isExact: true }
    case 'bigint':
      return { bytes: plainBigInt(type, extremes[side]), isExact: true }
    case 'bytes':
      return boundOfBytes(type, extremes[side], side)
    default:
      return extremes satisfies never
  }
}

/** PLAIN bytes. A float's minimum of 0 is written as -0 and its maximum as +0 ("ColumnOrder"). */
function plainNumber(type: ScalarType, value: number, side: 'min' | 'max'): Uint8Array {
  if (type.kind === 'boolean') return new Uint8Array([value])
  const bytes = new Uint8Array(type.kind === 'float64' ? 8 : 4)
  const view = new DataView(bytes.buffer)
  const ordered = value === 0 ? (side === 'min' ? -0 : 0) : value
  if (type.kind === 'float64') view.setFloat64(0, ordered, true)
  else if (type.kind === 'float32') view.setFloat32(0, ordered, true)
  else view.setInt32(0, value, true)
  return bytes
}

function plainBigInt(type: ScalarType, value: bigint): Uint8Array {
  if (physicalTypeOf(type) === physicalType.int64) {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigInt64(0, value, true)
    return bytes
  }
  const bytes = new Uint8Array(decimal128Bytes)
  const view = new DataView(bytes.buffer)
  view.setBigInt64(0, value >> 64n)
  view.setBigUint64(8, BigInt.asUintN(64, value))
  return bytes
}

function boundOfBytes(type: ScalarType, value: Uint8Array, side: 'min' | 'max'): Bound | undefined {
  if (value.length <= longestExactBytes) return { bytes: value, isExact: true }
  if (type.kind === 'binary') {
    const cut = new Uint8Array(value.subarray(0, longestExactBytes))
    if (side === 'max' && !incrementLast(cut)) return undefined
    return { bytes: cut, isExact: false }
  }
  const text = textOf(value)
  if (text === undefined) return undefined
  const bound = side === 'min' ? lowerBound(text) : upperBound(text)
  return bound && { bytes: Buffer.from(bound.text, 'utf8'), isExact: bound.isExact }
}

/** Raises the last byte; false when it is the largest already (then the bound is given up). */
function incrementLast(bytes: Uint8Array): boolean {
  const last = bytes[bytes.length - 1] ?? 255
  if (last === 255) return false
  bytes[bytes.length - 1] = last + 1
  return true
}

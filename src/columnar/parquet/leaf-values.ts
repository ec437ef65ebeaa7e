/**
 * Values of a leaf column as the values part of data pages. Spec: parquet-format Encodings.md,
 * "Plain (PLAIN = 0)" and "Dictionary Encoding".
 */
import type { ScalarType } from '../canonical-type.ts'
import type { Column } from '../column-batch.ts'
import { ByteExtremes } from './byte-order.ts'
import { buildBytesDictionary, type Dictionary } from './dictionary.ts'
import { extremesOfFixed, noExtremes, type Extremes } from './extremes.ts'
import { encoding } from './format.ts'
import { bitWidthOf, encodeRleHybrid, rleHybridBound } from './rle-hybrid.ts'

/** Hands out the values of one leaf column, page by page and in order. */
export interface LeafValues {
  readonly encoding: typeof encoding.plain | typeof encoding.rleDictionary
  readonly dictionary: Dictionary | undefined
  /** About the bytes of all pages: what page sizes are planned by. */
  readonly byteLength: number
  /** Page bytes of the next `count` values; valid until the next call, also for another column. */
  take(count: number): Uint8Array
  /** Of all values; call it when all are taken. */
  extremes(): Extremes
}

export function leafValuesOf(leaf: Column, type: ScalarType): LeafValues {
  if (type.kind === 'boolean') return booleanValues(leaf.values, type)
  if (type.kind !== 'string' && type.kind !== 'binary') return fixedValues(leaf, type)
  const dictionary = buildBytesDictionary(leaf.values, leaf.valueCount)
  return dictionary === undefined ? bytesValues(leaf.values) : dictionaryValues(dictionary)
}

/** Fixed width: pages are slices. */
function fixedValues(leaf: Column, type: ScalarType): LeafValues {
  const { values, valueCount } = leaf
  const width = valueCount === 0 ? 0 : values.length / valueCount
  let at = 0
  return {
    encoding: encoding.plain,
    dictionary: undefined,
    byteLength: values.length,
    take(count) {
      const start = at
      at += count * width
      return values.subarray(start, at)
    },
    extremes: () => extremesOfFixed(type, values),
  }
}

/** Booleans: "bit-packed, LSB first". */
function booleanValues(values: Uint8Array, type: ScalarType): LeafValues {
  let from = 0
  return {
    encoding: encoding.plain,
    dictionary: undefined,
    byteLength: (values.length + 7) >> 3,
    take(count) {
      const bits = new Uint8Array((count + 7) >> 3)
      for (let cell = 0; cell < count; cell++) {
        const byte = cell >> 3
        bits[byte] = (bits[byte] as number) | ((values[from + cell] as number) << (cell & 7))
      }
      from += count
      return bits
    },
    extremes: () => extremesOfFixed(type, values),
  }
}

/** Length-prefixed cells: pages are slices too, but their ends have to be walked to. */
function bytesValues(values: Uint8Array): LeafValues {
  const extremes = new ByteExtremes(values)
  let at = 0
  return {
    encoding: encoding.plain,
    dictionary: undefined,
    byteLength: values.length,
    take(count) {
      const start = at
      at = extremes.add(at, count)
      return values.subarray(start, at)
    },
    extremes: () => bytesExtremes(extremes),
  }
}

let scratchBytes = new Uint8Array(0)

/** At least `length` bytes of anything, the same ones each time. */
function scratch(length: number): Uint8Array {
  if (scratchBytes.length < length) scratchBytes = new Uint8Array(length * 2)
  return scratchBytes
}

/** "The bit width used to encode the entry ids stored as 1 byte, followed by the values encoded using RLE/Bit packed". */
function dictionaryValues(dictionary: Dictionary): LeafValues {
  const { indices, entryCount } = dictionary
  // Width 0 is legal for a single entry, but not every reader has met it.
  const bitWidth = Math.max(1, bitWidthOf(entryCount - 1))
  let from = 0
  return {
    encoding: encoding.rleDictionary,
    dictionary,
    byteLength: (indices.length * bitWidth) >> 3,
    take(count) {
      const out = scratch(1 + rleHybridBound(count, bitWidth))
      out[0] = bitWidth
      const end = encodeRleHybrid(indices, from, from + count, { bitWidth, out, at: 1 })
      from += count
      return out.subarray(0, end)
    },
    extremes() {
      const extremes = new ByteExtremes(dictionary.bytes)
      extremes.add(0, entryCount)
      return bytesExtremes(extremes)
    },
  }
}

function bytesExtremes(extremes: ByteExtremes): Extremes {
  const found = extremes.finish()
  return found === undefined ? noExtremes : { kind: 'bytes', ...found }
}

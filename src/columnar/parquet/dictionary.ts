/**
 * Dictionaries for repetitive strings and binaries. Spec: parquet-format Encodings.md,
 * "Dictionary Encoding (PLAIN_DICTIONARY = 2 and RLE_DICTIONARY = 8)".
 */
import { ByteExtremes } from './byte-order.ts'
import type { Extremes } from './extremes.ts'
import { noExtremes } from './extremes.ts'

/** Fewer bytes than this are not worth a second page. */
const smallestColumnBytes = 4096
/** Cells after which the first verdict falls; the next ones at twice, four times, … as many. */
const sampleCells = 1024
/** Indices are 16 bits wide at most, and a dictionary page no larger than a data page. */
const mostEntries = 65_536
const mostDictionaryBytes = 1 << 20
const firstSlots = 4096

export interface Dictionary {
  /** PLAIN data of the distinct values in the order of first use. */
  readonly bytes: Uint8Array
  readonly entryCount: number
  /** One index a value. */
  readonly indices: Uint16Array
  readonly extremes: Extremes
}

/**
 * The dictionary of length-prefixed `values`, or undefined when it does not pay: the search ends
 * early once half of the values seen are distinct.
 */
export function buildBytesDictionary(
  values: Uint8Array,
  valueCount: number,
): Dictionary | undefined {
  if (values.length < smallestColumnBytes) return undefined
  const table = new BytesTable(values)
  const indices = new Uint16Array(valueCount)
  let at = 0
  let verdictAt = Math.min(sampleCells, valueCount)
  for (let cell = 0; cell < valueCount; cell++) {
    const length = readLength(values, at)
    const index = table.indexOf(at + 4, at + 4 + length)
    if (index < 0) return undefined
    indices[cell] = index
    at += 4 + length
    if (cell + 1 === verdictAt) {
      if (table.entryCount * 2 > verdictAt) return undefined
      verdictAt = Math.min(verdictAt * 2, valueCount)
    }
  }
  return { ...table.finish(), indices }
}

/** Length prefix of the cell at `at`, 4 bytes little endian. */
export function readLength(values: Uint8Array, at: number): number {
  return (
    ((values[at] as number) |
      ((values[at + 1] as number) << 8) |
      ((values[at + 2] as number) << 16) |
      ((values[at + 3] as number) << 24)) >>>
    0
  )
}

/** Open-addressing hash table whose keys are ranges of one buffer. */
class BytesTable {
  readonly #bytes: Uint8Array
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  readonly #hashes: number[] = []
  /** Entry index + 1; 0 is free. */
  #slots = new Int32Array(firstSlots)
  #byteLength = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get entryCount(): number {
    return this.#starts.length
  }

  /** Index of the value `[start, end)`, added when it is new; -1 when the table is full. */
  indexOf(start: number, end: number): number {
    const hash = hashOf(this.#bytes, start, end)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (;;) {
      const entry = (this.#slots[slot] as number) - 1
      if (entry < 0) return this.#add(start, end, { hash, slot })
      if (this.#hashes[entry] === hash && this.#equals(entry, start, end)) return entry
      slot = (slot + 1) & mask
    }
  }

  #equals(entry: number, start: number, end: number): boolean {
    const bytes = this.#bytes
    let from = this.#starts[entry] as number
    if ((this.#ends[entry] as number) - from !== end - start) return false
    for (let at = start; at < end; at++, from++) if (bytes[at] !== bytes[from]) return false
    return true
  }

  #add(
    start: number,
    end: number,
    place: { readonly hash: number; readonly slot: number },
  ): number {
    const index = this.#starts.length
    this.#byteLength += 4 + end - start
    if (index === mostEntries || this.#byteLength > mostDictionaryBytes) return -1
    this.#starts.push(start)
    this.#ends.push(end)
    this.#hashes.push(place.hash)
    this.#slots[place.slot] = index + 1
    if ((index + 1) * 2 > this.#slots.length) this.#grow()
    return index
  }

  #grow(): void {
    const slots = new Int32Array(this.#slots.length * 4)
    const mask = slots.length - 1
    for (let index = 0; index < this.#hashes.length; index++) {
      let slot = (this.#hashes[index] as number) & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = index + 1
    }
    this.#slots = slots
  }

  finish(): Omit<Dictionary, 'indices'> {
    const bytes = new Uint8Array(this.#byteLength)
    const extremes = new ByteExtremes(this.#bytes)
    let at = 0
    for (let index = 0; index < this.#starts.length; index++) {
      const start = this.#starts[index] as number
      const end = this.#ends[index] as number
      extremes.add(start, end)
      bytes.set(this.#bytes.subarray(start - 4, end), at)
      at += 4 + end - start
    }
    const found = extremes.finish()
    return {
      bytes,
      entryCount: this.#starts.length,
      extremes: found === undefined ? noExtremes : { kind: 'bytes', ...found },
    }
  }
}

/** Multiplicative hash over 4-byte words, then the bytes left over; 30 bits. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start
  let at = start
  for (const stop = end - 3; at < stop; at += 4) {
    const word =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    hash = Math.imul(hash ^ word, 0x9e3779b1)
    hash ^= hash >>> 15
  }
  for (; at < end; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}

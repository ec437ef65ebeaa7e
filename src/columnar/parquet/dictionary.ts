/**
 * Dictionaries for repetitive strings and binaries. Spec: parquet-format Encodings.md,
 * "Dictionary Encoding (PLAIN_DICTIONARY = 2 and RLE_DICTIONARY = 8)".
 */
import { giveBuffer, takeBuffer } from '../buffer-pool.ts'

/** Fewer bytes than this are not worth a second page. */
const smallestColumnBytes = 4096
/** Cells after which the first verdict falls; the next ones at twice, four times, … as many. */
const sampleCells = 1024
/** Indices are 16 bits wide at most, and a dictionary page no larger than a data page. */
const mostEntries = 65_536
const mostDictionaryBytes = 1 << 20
const firstSlots = 4096
const firstEntries = 1024

export interface Dictionary {
  /** PLAIN data of the distinct values in the order of first use. */
  readonly bytes: Uint8Array
  readonly entryCount: number
  /** One index a value; its buffer may be given back to the pool. */
  readonly indices: Uint16Array
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
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  const table = new CellTable(view)
  const indices = new Uint16Array(takeBuffer(valueCount * 2), 0, valueCount)
  let at = 0
  let verdictAt = Math.min(sampleCells, valueCount)
  for (let cell = 0; cell < valueCount; cell++) {
    const end = at + 4 + view.getUint32(at, true)
    const index = table.indexOf(at, end)
    const isVerdict = cell + 1 === verdictAt
    if (index < 0 || (isVerdict && table.entryCount * 2 > verdictAt)) {
      giveBuffer(indices.buffer)
      return undefined
    }
    indices[cell] = index
    at = end
    if (isVerdict) verdictAt = Math.min(verdictAt * 2, valueCount)
  }
  return { bytes: table.entryBytes(values), entryCount: table.entryCount, indices }
}

/** Of tables of the first size: only one is in use at a time, and most need no more. */
const shared = {
  starts: new Int32Array(firstEntries),
  hashes: new Int32Array(firstEntries),
  slots: new Int32Array(firstSlots),
}

/**
 * Open-addressing hash table whose keys are cells of one buffer, length prefix included: so cells
 * of different length differ in their first four bytes already.
 */
class CellTable {
  readonly #view: DataView
  #starts = shared.starts
  #hashes = shared.hashes
  /** Entry index + 1; 0 is free. */
  #slots = shared.slots.fill(0)
  #byteLength = 0
  entryCount = 0

  constructor(view: DataView) {
    this.#view = view
  }

  /** Index of the cell `[start, end)`, added when it is new; -1 when the table is full. */
  indexOf(start: number, end: number): number {
    const hash = hashOf(this.#view, start, end)
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = hash & mask
    for (;;) {
      const entry = (slots[slot] as number) - 1
      if (entry < 0) return this.#add(start, end, { hash, slot })
      if (this.#hashes[entry] === hash) {
        if (isEqual(this.#view, this.#starts[entry] as number, start, end)) return entry
      }
      slot = (slot + 1) & mask
    }
  }

  #add(
    start: number,
    end: number,
    place: { readonly hash: number; readonly slot: number },
  ): number {
    const index = this.entryCount
    this.#byteLength += end - start
    if (index === mostEntries || this.#byteLength > mostDictionaryBytes) return -1
    if (index === this.#starts.length) this.#growEntries()
    this.#starts[index] = start
    this.#hashes[index] = place.hash
    this.#slots[place.slot] = index + 1
    this.entryCount++
    if (this.entryCount * 2 > this.#slots.length) this.#growSlots()
    return index
  }

  #growEntries(): void {
    const starts = new Int32Array(this.#starts.length * 4)
    const hashes = new Int32Array(starts.length)
    starts.set(this.#starts)
    hashes.set(this.#hashes)
    this.#starts = starts
    this.#hashes = hashes
  }

  #growSlots(): void {
    const slots = new Int32Array(this.#slots.length * 4)
    const mask = slots.length - 1
    for (let index = 0; index < this.entryCount; index++) {
      let slot = (this.#hashes[index] as number) & mask
      while (slots[slot] !== 0) slot = (slot + 1) & mask
      slots[slot] = index + 1
    }
    this.#slots = slots
  }

  /** The cells of all entries; `values` is the buffer the table was made for. */
  entryBytes(values: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(this.#byteLength)
    let at = 0
    for (let index = 0; index < this.entryCount; index++) {
      const start = this.#starts[index] as number
      const end = start + 4 + this.#view.getUint32(start, true)
      bytes.set(values.subarray(start, end), at)
      at += end - start
    }
    return bytes
  }
}

/**
 * Multiplicative hash, 30 bits. Two chains of 4-byte words, as one multiplication would wait for
 * the other; the last, shorter word is read backwards over the length prefix or the word before.
 */
function hashOf(view: DataView, start: number, end: number): number {
  let even = 0
  let odd = 0
  let at = start
  for (; at + 8 <= end; at += 8) {
    even = Math.imul(even ^ view.getInt32(at, true), 0x9e3779b1)
    even ^= even >>> 15
    odd = Math.imul(odd ^ view.getInt32(at + 4, true), 0x85ebca6b)
    odd ^= odd >>> 13
  }
  if (at + 4 <= end) even = Math.imul(even ^ view.getInt32(at, true), 0x9e3779b1)
  odd = Math.imul(odd ^ view.getInt32(end - 4, true), 0x85ebca6b)
  const hash = Math.imul(even ^ (even >>> 15) ^ odd ^ (odd >>> 16), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}

/** Whether the cell at `other` is the cell `[start, end)`. */
function isEqual(view: DataView, other: number, start: number, end: number): boolean {
  // The length prefix comes first, so this never runs past the end of a shorter `other`.
  for (; start + 4 <= end; start += 4, other += 4) {
    if (view.getInt32(start) !== view.getInt32(other)) return false
  }
  for (; start < end; start++, other++)
    if (view.getUint8(start) !== view.getUint8(other)) return false
  return true
}

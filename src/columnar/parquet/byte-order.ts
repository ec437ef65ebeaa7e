/**
 * Unsigned byte-by-byte order: the order of string and binary in Parquet statistics. Cells are
 * ranges of one buffer, seen through a DataView because four bytes are read as fast as one.
 */

/** Compares `[a, aEnd)` with `[b, bEnd)` of one buffer; a prefix comes before what it begins. */
function compareCells(view: DataView, a: number, aEnd: number, b: number, bEnd: number): number {
  const stop = Math.min(aEnd, a + bEnd - b)
  for (; a + 4 <= stop; a += 4, b += 4) {
    const left = view.getUint32(a)
    const right = view.getUint32(b)
    if (left !== right) return left - right
  }
  for (; a < stop; a++, b++) {
    const difference = view.getUint8(a) - view.getUint8(b)
    if (difference !== 0) return difference
  }
  return aEnd - a - (bEnd - b)
}

/** The first four bytes of a cell as a number; missing bytes count as 0. */
function prefixOf(view: DataView, start: number, end: number): number {
  if (end - start >= 4) return view.getUint32(start)
  let prefix = 0
  for (let at = start; at < start + 4; at++)
    prefix = prefix * 256 + (at < end ? view.getUint8(at) : 0)
  return prefix
}

/** More than 32 code points, and more than the bytes kept of a binary. */
const longestHead = 132

/**
 * A copy of `bytes[start, end)`, or of its head, cut between two code points if it is UTF-8. A real
 * copy: `Buffer.slice` would keep the whole batch alive until the file is finished.
 */
function copyHead(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (end - start <= longestHead) return new Uint8Array(bytes.subarray(start, end))
  let cut = start + longestHead
  // At most 3 bytes back; 10xxxxxx goes on with a code point.
  while (cut > start + longestHead - 3 && ((bytes[cut] as number) & 0xc0) === 0x80) cut--
  return new Uint8Array(bytes.subarray(start, cut))
}

/**
 * Finds the extremes of length-prefixed cells. Most are decided by their first four bytes: where
 * these differ, they order the cells (a missing byte and 0 count the same, and then the whole cells
 * are compared).
 */
export class ByteExtremes {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #isEmpty = true
  #min = 0
  #minEnd = 0
  #minPrefix = 0
  #max = 0
  #maxEnd = 0
  #maxPrefix = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Takes `count` cells into account, the first with its length prefix at `at`; returns the end. */
  add(at: number, count: number): number {
    const view = this.#view
    let minPrefix = this.#minPrefix
    let maxPrefix = this.#maxPrefix
    for (let cell = 0; cell < count; cell++) {
      const start = at + 4
      at = start + view.getUint32(at, true)
      const prefix = prefixOf(view, start, at)
      if (prefix > minPrefix && prefix < maxPrefix) continue
      this.#compare(start, at, prefix)
      minPrefix = this.#minPrefix
      maxPrefix = this.#maxPrefix
    }
    return at
  }

  #compare(start: number, end: number, prefix: number): void {
    const view = this.#view
    if (this.#isEmpty || compareCells(view, start, end, this.#min, this.#minEnd) < 0) {
      this.#min = start
      this.#minEnd = end
      this.#minPrefix = prefix
    }
    if (this.#isEmpty || compareCells(view, start, end, this.#max, this.#maxEnd) > 0) {
      this.#max = start
      this.#maxEnd = end
      this.#maxPrefix = prefix
    }
    this.#isEmpty = false
  }

  /** The extremes, or as much of them as any bound needs; undefined when there was no cell. */
  finish(): { readonly min: Uint8Array; readonly max: Uint8Array } | undefined {
    if (this.#isEmpty) return undefined
    return {
      min: copyHead(this.#bytes, this.#min, this.#minEnd),
      max: copyHead(this.#bytes, this.#max, this.#maxEnd),
    }
  }
}

/** Unsigned byte-by-byte order: the order of string and binary in Parquet statistics. */

/** Negative, 0 or positive. A prefix comes before what it begins. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return compareRanges(a, { a: 0, aEnd: a.length, b: 0, bEnd: b.length }, b)
}

/** Compares `left[a, aEnd)` with `right[b, bEnd)`. */
export function compareRanges(
  left: Uint8Array,
  range: { readonly a: number; readonly aEnd: number; readonly b: number; readonly bEnd: number },
  right: Uint8Array,
): number {
  let { a, b } = range
  const stop = Math.min(range.aEnd, a + range.bEnd - b)
  for (; a < stop; a++, b++) {
    const difference = (left[a] as number) - (right[b] as number)
    if (difference !== 0) return difference
  }
  return range.aEnd - range.a - (range.bEnd - range.b)
}

/** The first four bytes of `bytes[start, end)` as a number; missing bytes count as 0. */
export function prefixOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length >= 4) {
    return (
      (((bytes[start] as number) << 24) |
        ((bytes[start + 1] as number) << 16) |
        ((bytes[start + 2] as number) << 8) |
        (bytes[start + 3] as number)) >>>
      0
    )
  }
  let prefix = 0
  for (let at = 0; at < 4; at++)
    prefix = prefix * 256 + (at < length ? (bytes[start + at] as number) : 0)
  return prefix
}

/** More than 32 code points, and more than the bytes kept of a binary. */
const longestHead = 132

/**
 * A copy of `bytes[start, end)`, or of its head, cut between two code points if it is UTF-8. A real copy:
 * `Buffer.slice` would keep the whole batch alive until the file is finished.
 */
function copyHead(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (end - start <= longestHead) return new Uint8Array(bytes.subarray(start, end))
  let cut = start + longestHead
  // At most 3 bytes back; 10xxxxxx goes on with a code point.
  while (cut > start + longestHead - 3 && ((bytes[cut] as number) & 0xc0) === 0x80) cut--
  return new Uint8Array(bytes.subarray(start, cut))
}

/**
 * Finds the extremes of cells that lie in one buffer. Most cells are decided by their first four
 * bytes: where these differ, they order the cells (a missing byte and 0 count the same, and then
 * the whole cells are compared).
 */
export class ByteExtremes {
  readonly #bytes: Uint8Array
  #count = 0
  #min = 0
  #minEnd = 0
  #minPrefix = 0
  #max = 0
  #maxEnd = 0
  #maxPrefix = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Takes the cell `bytes[start, end)` into account. */
  add(start: number, end: number): void {
    const prefix = prefixOf(this.#bytes, start, end)
    if (prefix > this.#minPrefix && prefix < this.#maxPrefix) return
    this.#addSlowly(start, end, prefix)
  }

  #addSlowly(start: number, end: number, prefix: number): void {
    const isFirst = this.#count++ === 0
    if (isFirst || this.#isBefore(start, end, this.#min, this.#minEnd)) {
      this.#min = start
      this.#minEnd = end
      this.#minPrefix = prefix
    }
    if (isFirst || this.#isBefore(this.#max, this.#maxEnd, start, end)) {
      this.#max = start
      this.#maxEnd = end
      this.#maxPrefix = prefix
    }
  }

  #isBefore(a: number, aEnd: number, b: number, bEnd: number): boolean {
    return compareRanges(this.#bytes, { a, aEnd, b, bEnd }, this.#bytes) < 0
  }

  /** The extremes, or as much of them as any bound needs; undefined when there was no cell. */
  finish(): { readonly min: Uint8Array; readonly max: Uint8Array } | undefined {
    if (this.#count === 0) return undefined
    return {
      min: copyHead(this.#bytes, this.#min, this.#minEnd),
      max: copyHead(this.#bytes, this.#max, this.#maxEnd),
    }
  }
}

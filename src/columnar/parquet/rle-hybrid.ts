/**
 * RLE / bit-packing hybrid. Spec: parquet-format Encodings.md,
 * "Run Length Encoding / Bit-Packing Hybrid (RLE = 3)". Used for levels and dictionary indices.
 */

/** A shorter run of equal values costs no less as a run than inside a bit-packed one. */
const shortestRun = 8

/** Bits that hold 0…`largest`. */
export function bitWidthOf(largest: number): number {
  return 32 - Math.clz32(largest)
}

/** Upper bound of the bytes `encodeRleHybrid` writes. */
export function rleHybridBound(count: number, bitWidth: number): number {
  // Every run covers at least 8 values (but the last two) and has a header of at most 5 bytes;
  // a bit-packed run's header is shared by all its groups.
  return (((count + 7) >> 3) + 1) * (Math.max(bitWidth, ((bitWidth + 7) >> 3) + 5) + 1) + 16
}

/** Writes `values[start, end)` at `at`; returns the offset after the last byte written. */
export function encodeRleHybrid(
  values: Uint8Array | Uint16Array,
  start: number,
  end: number,
  options: { readonly bitWidth: number; readonly out: Uint8Array; readonly at: number },
): number {
  const { bitWidth, out } = options
  let at = options.at
  let packedStart = start
  let from = start
  while (from < end) {
    const value = values[from] as number
    let to = from + 1
    while (to < end && values[to] === value) to++
    // A bit-packed run in the middle holds whole groups of 8: it takes what is missing from here.
    const borrowed = Math.min((8 - ((from - packedStart) & 7)) & 7, to - from)
    if (to - from - borrowed >= shortestRun) {
      if (from + borrowed > packedStart) {
        at = writePackedRun(values, packedStart, from + borrowed, { bitWidth, out, at })
      }
      at = writeRun(value, to - from - borrowed, { bitWidth, out, at })
      packedStart = to
    }
    from = to
  }
  if (packedStart < end) at = writePackedRun(values, packedStart, end, { bitWidth, out, at })
  return at
}

/** `rle-run := <rle-header> <repeated-value>`; header is the length shifted left, low bit 0. */
export function writeRun(
  value: number,
  count: number,
  options: { readonly bitWidth: number; readonly out: Uint8Array; readonly at: number },
): number {
  const { bitWidth, out } = options
  let at = writeVarint(count * 2, out, options.at)
  for (let bits = 0; bits < bitWidth; bits += 8) out[at++] = (value >>> bits) & 255
  return at
}

/** `bit-packed-run := <groups of 8, shifted left, low bit 1> <values>`, least significant first. */
function writePackedRun(
  values: Uint8Array | Uint16Array,
  start: number,
  end: number,
  options: { readonly bitWidth: number; readonly out: Uint8Array; readonly at: number },
): number {
  const { bitWidth, out } = options
  const groups = (end - start + 7) >> 3
  let at = writeVarint(groups * 2 + 1, out, options.at)
  const stop = at + groups * bitWidth
  let bits = 0
  let held = 0
  for (let from = start; from < end; from++) {
    bits |= (values[from] as number) << held
    held += bitWidth
    while (held >= 8) {
      out[at++] = bits & 255
      bits >>>= 8
      held -= 8
    }
  }
  if (held > 0) out[at++] = bits & 255
  while (at < stop) out[at++] = 0
  return at
}

/** ULEB-128. */
export function writeVarint(value: number, out: Uint8Array, at: number): number {
  while (value >= 128) {
    out[at++] = (value % 128) | 128
    value = Math.floor(value / 128)
  }
  out[at++] = value
  return at
}

/** Runs and bit-packed groups decode to what went in. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bitWidthOf, encodeRleHybrid, rleHybridBound } from './rle-hybrid.ts'

function encode(values: Uint16Array, bitWidth: number, start = 0, end = values.length): Uint8Array {
  const out = new Uint8Array(rleHybridBound(end - start, bitWidth))
  const length = encodeRleHybrid(values, start, end, { bitWidth, out, at: 0 })
  expect(length).toBeLessThanOrEqual(out.length)
  return out.subarray(0, length)
}

/** Straight from Encodings.md. */
function decode(bytes: Uint8Array, bitWidth: number, count: number): number[] {
  const values: number[] = []
  let at = 0
  while (values.length < count) {
    let header = 0
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number
      header += (byte & 127) * 2 ** shift
      if (byte < 128) break
    }
    if ((header & 1) === 0) {
      let value = 0
      for (let bits = 0; bits < bitWidth; bits += 8) value |= (bytes[at++] as number) << bits
      for (let left = header / 2; left > 0; left--) values.push(value)
    } else {
      const packed = ((header - 1) / 2) * 8
      for (let value = 0; value < packed; value++) {
        let decoded = 0
        for (let bit = 0; bit < bitWidth; bit++) {
          const place = value * bitWidth + bit
          decoded |= (((bytes[at + (place >> 3)] as number) >> (place & 7)) & 1) << bit
        }
        values.push(decoded)
      }
      at += (packed * bitWidth) / 8
    }
  }
  expect(at).toBe(bytes.length)
  // Only the last group may hold more than was asked for.
  expect(values.length - count).toBeLessThan(8)
  return values.slice(0, count)
}

test('any mix of runs and singles is read back', () => {
  const runs = fc.array(
    fc.tuple(
      fc.integer({ min: 0, max: 65535 }),
      fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 40 })),
    ),
    { minLength: 1, maxLength: 60 },
  )
  fc.assert(
    fc.property(runs, fc.integer({ min: 1, max: 16 }), fc.nat(20), (parts, bitWidth, skipped) => {
      const mask = 2 ** bitWidth - 1
      const values = new Uint16Array(
        parts.flatMap(([value, n]) => Array<number>(n).fill(value & mask)),
      )
      const start = Math.min(skipped, values.length - 1)
      const bytes = encode(values, bitWidth, start)
      expect(decode(bytes, bitWidth, values.length - start)).toEqual([...values.subarray(start)])
    }),
    { numRuns: 1000 },
  )
})

test('long runs take a few bytes', () => {
  expect(encode(new Uint16Array(100_000).fill(3), 2).length).toBe(4)
  const twoRuns = new Uint16Array(2000).fill(1, 1003)
  expect(encode(twoRuns, 1).length).toBeLessThan(10)
})

test('bit widths hold the largest value', () => {
  expect([0, 1, 2, 3, 4, 255, 256, 65535].map(bitWidthOf)).toEqual([0, 1, 2, 2, 3, 8, 9, 16])
})

/** Deletion vectors: round trips, forms of containers, damage. Golden bytes are in golden.shared.test.ts. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  decodeFramedVector,
  decodeInlineVector,
  decodePositions,
  encodePositions,
  encodeVectorFile,
  framedRange,
  relativeVectorPath,
  unionPositions,
} from './deletion-vector.ts'
import { decodeRoaring, encodeRoaring } from './roaring.ts'
import { decodeZ85, encodeZ85 } from './z85.ts'

const sorted = (values: Iterable<bigint>): BigUint64Array =>
  BigUint64Array.from(new Set(values)).toSorted()

/** Sparse, dense and consecutive stretches in a few buckets, as deletes come. */
const positions = fc
  .array(
    fc.record({
      start: fc.bigInt({ min: 0n, max: 3n * 2n ** 32n }),
      length: fc.nat(6000),
      step: fc.constantFrom(1n, 1n, 2n, 3n, 70_000n),
    }),
    { maxLength: 6 },
  )
  .map((stretches) =>
    sorted(
      stretches.flatMap(({ start, length, step }) =>
        Array.from({ length }, (_, n) => start + BigInt(n) * step),
      ),
    ),
  )

test('encodePositions() and decodePositions() are inverse', () => {
  fc.assert(
    fc.property(positions, (wanted) => {
      expect(decodePositions(encodePositions(wanted))).toEqual(wanted)
    }),
    { numRuns: 40 },
  )
})

test('unionPositions() is the union', () => {
  fc.assert(
    fc.property(positions, positions, (left, right) => {
      expect(unionPositions(left, right)).toEqual(sorted([...left, ...right]))
    }),
    { numRuns: 20 },
  )
})

const range = (from: number, count: number, step = 1): Uint32Array =>
  Uint32Array.from({ length: count }, (_, n) => from + n * step)

test.each([
  // Cookie, count, one descriptor, one offset, then the container.
  ['an array', range(0, 4096, 2), 8 + 4 + 4 + 8192],
  ['a bitmap', range(0, 4097, 2), 8 + 4 + 4 + 8192],
  // Cookie with count, one byte of flags, one descriptor, no offsets, one run.
  ['a run', range(7, 60_000), 4 + 1 + 4 + 2 + 4],
  [
    'four runs, hence offsets',
    Uint32Array.of(...[0, 1, 2, 3].flatMap((n) => [...range(n << 16, 100)])),
    4 + 1 + 16 + 16 + 4 * 6,
  ],
  ['nothing', new Uint32Array(0), 8],
])('a bitmap stored as %s has the size of the format', (_, values, byteLength) => {
  const bytes = encodeRoaring(values)
  expect(bytes.byteLength).toBe(byteLength)
  expect(decodeRoaring(bytes, 0)).toEqual({ values, byteLength })
})

test('a vector file is read back by its descriptors', () => {
  const vectors = [
    BigUint64Array.of(0n),
    BigUint64Array.from({ length: 5000 }, (_, n) => BigInt(n * 3)),
  ]
  const uuid = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
  const { bytes, descriptors } = encodeVectorFile(vectors, uuid)
  expect(bytes[0]).toBe(1)
  expect(descriptors[0]).toMatchObject({ storageType: 'u', offset: 1, cardinality: 1 })
  descriptors.forEach((descriptor, n) => {
    const frame = bytes.subarray(...framedRange(descriptor))
    expect(decodeFramedVector(frame, descriptor)).toEqual(vectors[n])
    expect(relativeVectorPath(descriptor)).toBe(`deletion_vector_${uuid}.bin`)
    const prefixed = { ...descriptor, pathOrInlineDv: `ab${descriptor.pathOrInlineDv}` }
    expect(relativeVectorPath(prefixed)).toBe(`ab/deletion_vector_${uuid}.bin`)
  })
})

test('any flipped bit or missing byte of a stored vector is noticed', () => {
  const { bytes, descriptors } = encodeVectorFile(
    [BigUint64Array.of(3n, 4n, 5n, 900n, 70_000n)],
    'f'.repeat(32),
  )
  const [descriptor] = descriptors
  if (descriptor === undefined) throw new Error('no descriptor')
  const frame = bytes.subarray(...framedRange(descriptor))
  for (let bit = 0; bit < frame.byteLength * 8; bit++) {
    const damaged = Uint8Array.from(frame)
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(() => decodeFramedVector(damaged, descriptor)).toThrow('a deletion vector is broken')
  }
  const payload = encodePositions(BigUint64Array.of(3n, 4n, 5n, 900n, 70_000n))
  for (let length = 0; length < payload.byteLength; length++) {
    expect(() => decodePositions(payload.subarray(0, length))).toThrow('is broken')
  }
  expect(() => decodeFramedVector(frame, { ...descriptor, cardinality: 4 })).toThrow('5 rows')
})

test('an inline vector is read; the old big-endian layout is refused', () => {
  const payload = encodePositions(BigUint64Array.of(1n, 2n, 2n ** 40n))
  const descriptor = {
    storageType: 'i',
    pathOrInlineDv: encodeZ85(payload),
    sizeInBytes: payload.byteLength,
    cardinality: 3,
  } as const
  expect(decodeInlineVector(descriptor)).toEqual(BigUint64Array.of(1n, 2n, 2n ** 40n))
  // The example in the specification text is in this layout.
  const old = {
    ...descriptor,
    pathOrInlineDv: 'wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L',
    sizeInBytes: 40,
    cardinality: 6,
  }
  expect(() => decodeInlineVector(old)).toThrow('magic number')
})

test('Z85: the vector of its specification, and round trips', () => {
  const bytes = Uint8Array.of(0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b)
  expect(encodeZ85(bytes)).toBe('HelloWorld')
  expect(decodeZ85('HelloWorld')).toEqual(bytes)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (any) => {
      expect(decodeZ85(encodeZ85(any)).subarray(0, any.length)).toEqual(any)
    }),
  )
  for (const bad of ['abc', 'ab"de', '#####']) {
    expect(() => decodeZ85(bad)).toThrow('is not Z85')
  }
})

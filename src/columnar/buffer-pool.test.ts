import fc from 'fast-check'
import { expect, test } from 'vitest'
import { giveBuffer, takeBuffer, trimBuffers } from './buffer-pool.ts'
import {
  type BytesBuilder,
  createColumnBuilder,
  finishBatch,
  type Int64Builder,
  releaseBatch,
} from './column-builder.ts'

test('a buffer that was given back is taken again, and never by two at once', () => {
  const first = takeBuffer(100_000)
  expect(first.byteLength).toBeGreaterThanOrEqual(100_000)
  expect(first.byteLength).toBeLessThanOrEqual(125_000)
  giveBuffer(first)
  giveBuffer(first)
  expect(takeBuffer(100_000)).toBe(first)
  expect(takeBuffer(100_000)).not.toBe(first)
})

test('a free buffer that is a little too large will do, a much larger one will not', () => {
  const large = takeBuffer(1 << 22)
  giveBuffer(large)
  expect(takeBuffer(1 << 20)).not.toBe(large)
  expect(takeBuffer(3 << 20)).toBe(large)
})

test('when the pool is full, what nobody asks for any more makes room', () => {
  const unwanted = Array.from({ length: 4 }, () => takeBuffer(16 << 20))
  for (const buffer of unwanted) giveBuffer(buffer)
  const wanted = takeBuffer(6 << 20)
  giveBuffer(wanted)
  expect(takeBuffer(6 << 20)).toBe(wanted)
  const left = Array.from({ length: 4 }, () => takeBuffer(16 << 20))
  expect(left.filter((buffer) => unwanted.includes(buffer))).toHaveLength(3)
})

test('a buffer of somebody else is let alone', () => {
  const foreign = new ArrayBuffer(131_072)
  giveBuffer(foreign)
  expect(takeBuffer(131_072)).not.toBe(foreign)
})

test.each([0, 1, 16_383, 16_384, 16_385, 1 << 20, (1 << 25) + 1])('%i bytes have room', (bytes) => {
  expect(takeBuffer(bytes).byteLength).toBeGreaterThanOrEqual(bytes)
})

/** Cells of one batch, with a NULL here and there, as they are read back from it. */
function fill(rows: number, seed: number): { batch: ReturnType<typeof finishBatch>; text: string } {
  const id = createColumnBuilder('id', { kind: 'int64' }) as Int64Builder
  const note = createColumnBuilder('note', { kind: 'string' }) as BytesBuilder
  for (let row = 0; row < rows; row++) {
    id.appendNumber(row * seed)
    if ((row * seed) % 7 === 0) note.appendNull()
    else note.appendText(`${seed}-${row}`)
  }
  const batch = finishBatch([id, note])
  return { batch, text: textOf(batch) }
}

function textOf({ columns }: ReturnType<typeof finishBatch>): string {
  return columns
    .map(({ values, states }) =>
      [values, states ?? []].map((bytes) => Buffer.from(bytes).toString('base64')).join(' '),
    )
    .join('\n')
}

test('batches that are alive keep their cells while others are filled and released', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ rows: fc.nat(20_000), seed: fc.nat(1000), keep: fc.boolean() }), {
        maxLength: 8,
      }),
      (steps) => {
        const alive: ReturnType<typeof fill>[] = []
        for (const { rows, seed, keep } of steps) {
          const filled = fill(rows, seed)
          if (keep) alive.push(filled)
          else releaseBatch(filled.batch)
          // A fresh builder on used buffers gives the same bytes as one on new memory.
          expect(fill(rows, seed).text).toBe(filled.text)
        }
        for (const { batch, text } of alive) expect(textOf(batch)).toBe(text)
      },
    ),
    { numRuns: 15 },
  )
})

test('what nobody asked for between two trims is given up, what is in use is not', () => {
  const used = takeBuffer(200_000)
  const free = takeBuffer(200_000)
  giveBuffer(free)
  trimBuffers()
  expect(takeBuffer(200_000)).toBe(free)
  giveBuffer(free)
  trimBuffers()
  trimBuffers()
  expect(takeBuffer(200_000)).not.toBe(free)
  giveBuffer(used)
  expect(takeBuffer(200_000)).toBe(used)
})

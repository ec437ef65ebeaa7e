import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CopyProgress } from './copy-progress.ts'

const chunk = (id: number, estimatedBytes?: number) => ({
  id,
  estimatedRows: undefined,
  ...(estimatedBytes === undefined ? {} : { estimatedBytes }),
})

test('a chunk counts by what was read of it, and whole only when it is staged', () => {
  const progress = new CopyProgress()
  expect(progress.bytes).toBeUndefined()
  progress.begin({ chunks: [chunk(0, 100), chunk(1, 300)] })
  progress.read(chunk(1), 60)
  expect(progress.bytes).toEqual({ doneBytes: 60, totalBytes: 400 })
  // The estimate was too small.
  progress.read(chunk(1), 10_000)
  expect(progress.bytes).toEqual({ doneBytes: 285, totalBytes: 400 })
  progress.staged(chunk(1))
  expect(progress.bytes).toEqual({ doneBytes: 300, totalBytes: 400 })
})

test('a copy that goes on begins where it was', () => {
  const progress = new CopyProgress()
  progress.begin({ chunks: [chunk(0, 20), chunk(1, 80)], readBytes: 300 })
  expect(progress.bytes).toEqual({ doneBytes: 300, totalBytes: 400 })
})

test('it never goes back and never passes the end, whatever the estimates', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('read' as const),
      id: fc.nat(4),
      bytes: fc.integer({ min: -500, max: 500 }),
    }),
    fc.record({ kind: fc.constant('staged' as const), id: fc.nat(4), bytes: fc.constant(0) }),
    fc.record({ kind: fc.constant('begin' as const), id: fc.nat(4), bytes: fc.nat(1000) }),
  )
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const progress = new CopyProgress()
      progress.begin({ chunks: [chunk(0), chunk(1, 0), chunk(2, 700)] })
      let share = 0
      for (const { kind, id, bytes } of steps) {
        if (kind === 'read') progress.read({ id }, bytes)
        else if (kind === 'staged') progress.staged({ id })
        else progress.begin({ chunks: [chunk(0, id), chunk(1, 9)], readBytes: bytes })
        const { doneBytes, totalBytes } = progress.bytes ?? { doneBytes: 0, totalBytes: 0 }
        expect(doneBytes).toBeLessThanOrEqual(totalBytes)
        // A byte is lost by rounding.
        expect(doneBytes).toBeGreaterThanOrEqual(Math.floor(share * totalBytes) - 1)
        share = Math.max(share, doneBytes / totalBytes)
      }
    }),
  )
})

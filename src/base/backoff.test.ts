import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs } from './backoff.ts'

const settings = { firstMs: 500, capMs: 60_000 }

test('backoffMs() doubles its bound with every failure up to the cap', () => {
  const bounds = [1, 2, 3, 7, 8, 1000].map((failures) => backoffMs(failures, settings, () => 1))
  expect(bounds).toEqual([500, 1000, 2000, 32_000, 60_000, 60_000])
})

test('backoffMs() lies between 0 and its bound', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2000 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (n, r) => {
        const delay = backoffMs(n, settings, () => r)
        expect(delay).toBeGreaterThanOrEqual(0)
        expect(delay).toBeLessThanOrEqual(60_000)
      },
    ),
  )
})

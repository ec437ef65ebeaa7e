import { expect, test } from 'vitest'
import { secondsToLoss } from './lag.ts'

const sample = (atMs: number, retainedBytes: bigint, budgetBytes?: bigint) => ({
  atMs,
  retainedBytes,
  budgetBytes,
  lagBytes: 0n,
})

test('secondsToLoss() is the budget divided by the growth between two samples', () => {
  expect(secondsToLoss(sample(0, 1000n, 9000n), sample(10_000, 2000n, 8000n))).toBe(80)
})

test('secondsToLoss() knows nothing without a limit, a growth or two moments', () => {
  expect(secondsToLoss(sample(0, 0n), sample(10_000, 5n))).toBeUndefined()
  expect(secondsToLoss(sample(0, 5n, 9n), sample(10_000, 5n, 9n))).toBeUndefined()
  expect(secondsToLoss(sample(0, 9n, 9n), sample(10_000, 5n, 13n))).toBeUndefined()
  expect(secondsToLoss(undefined, sample(10_000, 5n, 9n))).toBeUndefined()
  expect(secondsToLoss(sample(10_000, 5n, 9n), sample(10_000, 6n, 8n))).toBeUndefined()
})

test('trap: secondsToLoss() is 0 when the budget is used up', () => {
  expect(secondsToLoss(undefined, sample(0, 5n, 0n))).toBe(0)
  expect(secondsToLoss(sample(0, 1n, 1n), sample(1, 5n, -3n))).toBe(0)
})

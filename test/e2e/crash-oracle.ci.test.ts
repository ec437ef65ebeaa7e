import { expect, test } from 'vitest'
import { type OracleResult, runCrashOracle } from './crash-oracle.ts'
import { oracleSteps } from './fates.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

/** A short form; `npm run oracle` is the long one. */
const size = {
  seed,
  transactions: 6000,
  bulkRows: 20_000,
  bulkTransactions: 2,
  isShort: true,
} as const

function expectGood(result: OracleResult): void {
  const { verify, differences, kills, transactions, pairs } = result
  console.log(`crash oracle: ${kills} kills, ${transactions} transactions`, pairs)
  expect(verify.exitCode, `${verify.stdout}\n${verify.stderr}`).toBe(0)
  expect(differences).toEqual([])
  expect(pairs.compared).toBeGreaterThan(0)
}

test(`a copy killed at every step and at random equals its source (SLUICE_SEED=${seed})`, async () => {
  console.log(`crash oracle: SLUICE_SEED=${seed}`)
  const result = await runCrashOracle({ ...size, randomKills: 3, serverCrashes: 0 })
  expectGood(result)
  expect([...result.steps].toSorted()).toEqual(oracleSteps.toSorted())
})

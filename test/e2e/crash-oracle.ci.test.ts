import { expect, test } from 'vitest'
import { oracleSteps, runCrashOracle } from './crash-oracle.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

test(`a copy killed at every step and at random equals its source (SLUICE_SEED=${seed})`, async () => {
  console.log(`crash oracle: SLUICE_SEED=${seed}`)
  const result = await runCrashOracle({
    seed,
    transactions: 50_000,
    bulkRows: 100_000,
    randomKills: 10,
  })
  try {
    console.log(`crash oracle: ${result.kills} kills, ${result.transactions} transactions`)
    expect(result.verify.exitCode, `${result.verify.stdout}\n${result.verify.stderr}`).toBe(0)
    expect([...result.steps].toSorted()).toEqual(oracleSteps.toSorted())
    expect(result.kills).toBeGreaterThanOrEqual(30)
    expect(result.transactions).toBeGreaterThanOrEqual(50_000)
  } finally {
    await result.dispose()
  }
})

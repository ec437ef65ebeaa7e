import { expect, test } from 'vitest'
import { type OracleOptions, type OracleResult, runCrashOracle } from './crash-oracle.ts'
import { oracleSteps } from './fates.ts'

const seed = Number(process.env['SLUICE_SEED'] ?? Date.now() % 1_000_000_000)

/** Runs a short form; `npm run oracle` is the long one. */
async function runShort(
  options: Pick<OracleOptions, 'killsPerStep' | 'randomKills' | 'serverCrashes'>,
): Promise<OracleResult> {
  console.log(`crash oracle: SLUICE_SEED=${seed}`)
  const result = await runCrashOracle({
    seed,
    transactions: 5000,
    bulkRows: 20_000,
    bulkTransactions: 2,
    lifeMs: [2000, 7000],
    ...options,
  })
  const { verify, differences, steps: _steps, ...numbers } = result
  console.log('crash oracle:', numbers)
  expect(verify.exitCode, `${verify.stdout}\n${verify.stderr}`).toBe(0)
  expect(differences).toEqual([])
  return result
}

test(`a copy killed at every named step equals its source (SLUICE_SEED=${seed})`, async () => {
  const result = await runShort({ killsPerStep: 1, randomKills: 0, serverCrashes: 0 })
  expect([...result.steps].toSorted()).toEqual(oracleSteps.toSorted())
  expect(result.pairs.compared).toBeGreaterThan(0)
})

test(`killed at random, with cut connections, server crashes and a jumping clock, it equals its source (SLUICE_SEED=${seed})`, async () => {
  const result = await runShort({ killsPerStep: 0, randomKills: 6, serverCrashes: 2 })
  expect(result.disturbances.serverCrashes).toBe(2)
  // The stream was at work, not only the last copy.
  expect(result.stagedTransactions).toBeGreaterThan(0n)
})

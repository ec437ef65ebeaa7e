/** The crash oracle at full size: npm run oracle -- [--seed N] [--transactions N] … */
import { parseArgs } from 'node:util'
import { runCrashOracle } from './crash-oracle.ts'
import { oracleSteps } from './fates.ts'

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    transactions: { type: 'string', default: '50000' },
    'bulk-rows': { type: 'string', default: '100000' },
    'bulk-transactions': { type: 'string', default: '10' },
    'life-from': { type: 'string', default: '50' },
    'life-to': { type: 'string', default: '4000' },
    'random-kills': { type: 'string', default: '10' },
    'server-crashes': { type: 'string', default: '0' },
    'kills-per-step': { type: 'string', default: '2' },
  },
})

const stop = new AbortController()
process.once('SIGINT', () => stop.abort())
process.once('SIGTERM', () => stop.abort())
const beganMs = performance.now()
const elapsed = (): string => `${((performance.now() - beganMs) / 1000).toFixed(1).padStart(6)} s`
console.log(`crash oracle: --seed ${values.seed}`)
const result = await runCrashOracle({
  seed: Number(values.seed),
  transactions: Number(values.transactions),
  bulkRows: Number(values['bulk-rows']),
  bulkTransactions: Number(values['bulk-transactions']),
  randomKills: Number(values['random-kills']),
  serverCrashes: Number(values['server-crashes']),
  killsPerStep: values['kills-per-step'] === '0' ? 0 : values['kills-per-step'] === '1' ? 1 : 2,
  lifeMs: [Number(values['life-from']), Number(values['life-to'])],
  signal: stop.signal,
  onEvent: (text) => console.log(`${elapsed()}  ${text}`),
})
const { steps, verify, differences, ...numbers } = result
const missing = oracleSteps.filter((step) => !steps.has(step))
console.log(verify.stdout, verify.stderr)
console.log({ ...numbers, steps: steps.size, missing, differences, elapsed: elapsed() })
const isGood =
  verify.exitCode === 0 &&
  missing.length === 0 &&
  differences !== undefined &&
  differences.length === 0
console.log(isGood ? 'equal' : 'NOT EQUAL, OR NOT EVERYTHING WAS REACHED')
process.exitCode = isGood ? 0 : 1

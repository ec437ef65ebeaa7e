/**
 * The central property under crashes: a random workload runs against the source while the process
 * that copies it is killed again and again, at random moments and at every named step between two
 * writes. Afterwards the destination has to equal the source.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type FailpointName, failpointNames } from '../../src/base/failpoint.ts'
import { startEmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'
import { createRandom, type Random } from '../support/random.ts'
import { createRandomWorkload } from '../support/random-workload.ts'
import { type Finished, resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'

export interface OracleOptions {
  readonly seed: number
  readonly transactions: number
  readonly bulkRows: number
  /** Kills at random moments, besides one at every named step. */
  readonly randomKills: number
}

export interface OracleResult {
  readonly kills: number
  /** Named steps at which a process really ended. */
  readonly steps: ReadonlySet<string>
  readonly transactions: number
  readonly verify: Finished
  /** Folder of the run's data; the caller removes it by `dispose`. */
  readonly data: string
  dispose(): Promise<void>
}

/** What a process under test is told: a step to die at, or how long it may live. */
type Fate = { readonly step: string } | { readonly afterMs: number }

export async function runCrashOracle(options: OracleOptions): Promise<OracleResult> {
  const random = createRandom(options.seed ^ 0x5eed)
  const server = await startEmbeddedPostgres({
    settings: { fsync: 'off', synchronous_commit: 'off' },
  })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-oracle-'))
  const dispose = async (): Promise<void> => {
    await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const sessions = [await server.connect(), await server.connect(), await server.connect()]
    const workload = createRandomWorkload({ ...options, sessions })
    await workload.createTables()
    const file = join(folder, 'resources.yml')
    await writeFile(file, resourceFile({ port: server.port, user: server.user, schema: 'public' }))
    const process = { cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } }

    const fates = planFates(random, options.randomKills)

    const work = { done: false }
    const writing = drive(workload, { total: options.transactions, rounds: fates.length, work })
    const steps = new Set<string>()
    let kills = 0
    for (const fate of fates) {
      const reachedStep = await liveAndDie(file, fate, process)
      kills++
      if ('step' in fate && reachedStep) steps.add(fate.step.replace(/:.*/, ''))
    }
    work.done = true
    await writing
    const last = await runSluice(['run', file, '--once', '--data', 'data'], process)
    if (last.exitCode !== 0) throw new Error(`the last run failed: ${last.stdout}\n${last.stderr}`)
    const verify = await runSluice(['verify', '--data', 'data'], process)
    for (const client of sessions) await client.end()
    return {
      kills,
      steps,
      transactions: workload.transactions,
      verify,
      data: join(folder, 'data'),
      dispose,
    }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** Steps that are only reached before the first copy is whole: they come first. */
const earlySteps: readonly FailpointName[] = [
  'source.slot-created',
  'gateway.snapshot-started',
  'gateway.snapshot-chunks-staged',
]

/** Steps of work that a short run has no cause to do; they have tests of their own. */
const otherwhere: readonly FailpointName[] = ['staging.purge-data-removed']

/** Every step a short life can reach. */
export const oracleSteps = failpointNames.filter((name) => !otherwhere.includes(name))

function planFates(random: Random, randomKills: number): readonly Fate[] {
  const later: Fate[] = oracleSteps
    .filter((name) => !earlySteps.includes(name))
    .flatMap((name) => [{ step: name }, { step: `${name}:${random.int(2, 6)}` }])
  for (let n = 0; n < randomKills; n++) later.push({ afterMs: random.int(50, 4000) })
  shuffle(later, (below) => random.int(0, below))
  return [...earlySteps.map((step) => ({ step })), ...later]
}

/** Runs the workload to its end beside the killing; what is left when the killing ends is done then. */
async function drive(
  workload: ReturnType<typeof createRandomWorkload>,
  plan: { readonly total: number; readonly rounds: number; readonly work: { done: boolean } },
): Promise<void> {
  const slice = Math.ceil(plan.total / (plan.rounds * 20))
  while (workload.transactions < plan.total) {
    await workload.run(Math.min(slice, plan.total - workload.transactions))
    // The pace is such that the workload lasts about as long as the killing.
    if (!plan.work.done) await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await workload.finish()
}

/**
 * One life of the process: until its step, its hour, or (a step that is not reached) a time limit.
 * True when it died by itself at its step.
 */
async function liveAndDie(
  file: string,
  fate: Fate,
  options: { readonly cwd: string; readonly env: Record<string, string> },
): Promise<boolean> {
  const env = 'step' in fate ? { ...options.env, SLUICE_FAILPOINT: fate.step } : options.env
  const child = startSluice(['run', file, '--data', 'data'], { ...options, env })
  let timedOut = false
  const timer = setTimeout(
    () => {
      timedOut = true
      child.kill('SIGKILL')
    },
    'step' in fate ? 12_000 : fate.afterMs,
  )
  const finished = await child.finished
  clearTimeout(timer)
  if (finished.signal !== 'SIGKILL') {
    throw new Error(
      `the process ended by itself (${finished.exitCode}): ${finished.stdout}\n${finished.stderr}`,
    )
  }
  return !timedOut
}

function shuffle<T>(values: T[], below: (limit: number) => number): void {
  for (let n = values.length - 1; n > 0; n--) {
    const other = below(n + 1)
    const [a, b] = [values[n] as T, values[other] as T]
    values[n] = b
    values[other] = a
  }
}

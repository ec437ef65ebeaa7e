/**
 * The central property under crashes: a random workload runs against the source while the process
 * that copies it is killed again and again, at random moments and at every named step between two
 * writes; if asked for, connections are cut, the server crashes and clocks jump besides. Afterwards
 * the destination has to equal the source, by the product's own word and by an independent reader's.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { compareWithReferee, type RowDifference } from '../support/canonical-rows.ts'
import { createRandom } from '../support/random.ts'
import {
  createRandomWorkload,
  type RandomWorkload,
  workloadTables,
} from '../support/random-workload.ts'
import { isRefereeInstalled } from '../support/referee.ts'
import { type Finished, resourceFile, runSluice } from '../support/sluice-process.ts'
import { type DisturbanceCounts, Disturbances } from './disturbances.ts'
import { type Fate, type FatePlan, liveAndDie, planFates } from './fates.ts'
import { checkPairs, type PairResult, StagedLogWatch } from './invariants.ts'

export interface OracleOptions extends FatePlan {
  readonly seed: number
  /** At least so many; a workload that is done early goes on slowly until the last kill. */
  readonly transactions: number
  readonly bulkRows: number
  /** At least so many transactions of `bulkRows` rows. */
  readonly bulkTransactions: number
  /** Cut connections, hold transactions open for seconds, crash the server this many times, let clocks jump; 0: none of it. */
  readonly serverCrashes: number
  readonly onEvent?: (text: string) => void
  /** Ends the run early, as a failure, with everything it started. */
  readonly signal?: AbortSignal
}

export interface OracleResult {
  readonly kills: number
  /** Named steps at which a process really ended. */
  readonly steps: ReadonlySet<string>
  readonly transactions: number
  readonly bulkTransactions: number
  readonly stagedCommits: number
  readonly stagedTransactions: bigint
  readonly disturbances: DisturbanceCounts
  readonly verify: Finished
  /** Tables that differ by the independent reader; undefined when it is not installed. */
  readonly differences: readonly RowDifference[] | undefined
  readonly pairs: PairResult
}

const sessionCount = 3

/** How often the staged log and the slot are looked at while the process lives. */
const lookIntervalMs = 250

/** How often a step that was not reached is tried. */
const stepTries = 4

export async function runCrashOracle(options: OracleOptions): Promise<OracleResult> {
  const server = await startEmbeddedPostgres({
    settings: {
      fsync: 'off',
      synchronous_commit: 'off',
      // The least there is: transactions are sent while they are in progress.
      logical_decoding_work_mem: '64kB',
    },
  })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-oracle-'))
  const oracle = new CrashOracle(options, server, folder)
  let isGood = false
  try {
    const result = await oracle.run()
    isGood = result.verify.exitCode === 0 && (result.differences ?? []).length === 0
    return result
  } finally {
    await oracle.end()
    await server.stop()
    if (isGood) await rm(folder, { recursive: true, force: true })
    else console.log(`the data of the failed run is kept in ${folder}`)
  }
}

class CrashOracle {
  readonly #options: OracleOptions
  readonly #server: EmbeddedPostgres
  readonly #folder: string
  readonly #file: string
  readonly #disturbances: Disturbances
  readonly #steps = new Set<string>()
  readonly #log: StagedLogWatch
  readonly #lake: string
  #sessions: pg.Client[] = []
  #kills = 0
  /** Share of the lives that are over, 0 to 1. */
  #lived = 0
  /** The life that begins is to end in a large transaction. */
  #wantsBulk = false

  constructor(options: OracleOptions, server: EmbeddedPostgres, folder: string) {
    this.#options = options
    this.#server = server
    this.#folder = folder
    this.#file = join(folder, 'resources.yml')
    this.#disturbances = new Disturbances(server, createRandom(options.seed ^ 0xd157))
    this.#log = new StagedLogWatch(join(folder, 'data', 'volumes', 'main', 'staging', 'db'))
    this.#lake = join(folder, 'data', 'lake', 'main', 'copy')
  }

  async run(): Promise<OracleResult> {
    const { seed, bulkRows, transactions } = this.#options
    const { port, user } = this.#server
    await writeFile(this.#file, resourceFile({ port, user, schema: 'public' }))
    await this.#connect()
    const workload = createRandomWorkload({ seed, bulkRows, sessions: this.#sessions })
    await workload.createTables()
    // The first copy finds rows, and a transaction that stays open while it begins.
    await workload.run(Math.ceil(transactions / 20))
    await workload.runBulk()
    // Without kills at the steps of the first copy, that copy is not what is tried.
    if (this.#options.killsPerStep === 0) await this.#runOnce()
    if (this.#isDisturbed) await this.#disturbances.hold(4000)
    await this.#killWhileWorking(workload)
    await this.#runOnce()
    const verify = await this.#sluice(['verify', '--data', 'data'])
    this.#tell('verified')
    await this.#log.look()
    const differences = await this.#judge()
    const pairs = await checkPairs(this.#lake)
    return {
      kills: this.#kills,
      steps: this.#steps,
      transactions: workload.transactions,
      bulkTransactions: workload.bulkTransactions,
      stagedCommits: this.#log.commits,
      stagedTransactions: this.#log.lastSequence,
      disturbances: this.#disturbances.counts,
      verify,
      differences,
      pairs,
    }
  }

  async end(): Promise<void> {
    await this.#disturbances.stop()
    for (const client of this.#sessions) await client.end().catch(() => undefined)
  }

  get #isDisturbed(): boolean {
    return this.#options.serverCrashes > 0
  }

  #tell(text: string): void {
    this.#options.onEvent?.(text)
  }

  async #runOnce(): Promise<void> {
    const { exitCode, stdout, stderr } = await this.#sluice([
      'run',
      this.#file,
      '--once',
      '--data',
      'data',
    ])
    if (exitCode !== 0) throw new Error(`an undisturbed run failed: ${stdout}\n${stderr}`)
  }

  async #sluice(args: readonly string[]): Promise<Finished> {
    return await runSluice(args, this.#environment())
  }

  #environment(): { readonly cwd: string; readonly env: Record<string, string> } {
    return {
      cwd: this.#folder,
      env: {
        SLUICE_TEST_PASSWORD: this.#server.password,
        // So that every life begins with one.
        SLUICE_CHECKPOINT_COMMITS: '3',
      },
    }
  }

  async #connect(): Promise<void> {
    for (const client of this.#sessions) await client.end().catch(() => undefined)
    this.#sessions = []
    for (let n = 0; n < sessionCount; n++) this.#sessions.push(await this.#server.connect())
  }

  async #killWhileWorking(workload: RandomWorkload): Promise<void> {
    const work = { done: false }
    const writing = this.#drive(workload, work)
    const failed = writing.then(() => new Promise<never>(() => undefined))
    this.#disturbances.overlap()
    if (this.#isDisturbed) this.#disturbances.start()
    try {
      // A workload that breaks ends the run at once.
      await Promise.race([this.#killAll(), failed])
      this.#options.signal?.throwIfAborted()
    } finally {
      work.done = true
    }
    await this.#disturbances.stop()
    await writing
  }

  async #killAll(): Promise<void> {
    const random = createRandom(this.#options.seed ^ 0x5eed)
    const fates = planFates(random, this.#options)
    for (const [n, fate] of fates.entries()) {
      if (this.#options.signal?.aborted === true) return
      for (let tries = 1; !(await this.#live(fate)) && tries < stepTries; tries++);
      this.#lived = (n + 1) / fates.length
    }
  }

  async #look(): Promise<void> {
    await this.#log.lookAtBoth(async () => {
      const sql = 'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots'
      // While the server is down nobody can be told anything.
      const rows = await this.#server.sql(sql).catch(() => [])
      const lsn = rows[0]?.['lsn']
      return typeof lsn === 'string' ? lsn : undefined
    })
  }

  async #keepLooking(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#look()
      await sleep(lookIntervalMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** True when the fate was met. */
  async #live(fate: Fate): Promise<boolean> {
    const beganMs = performance.now()
    this.#wantsBulk = 'step' in fate && fate.step.startsWith('source.transaction-')
    const hasJumpingClock = this.#isDisturbed
    const options = { ...this.#environment(), hasJumpingClock }
    const looking = new AbortController()
    const looks = this.#keepLooking(looking.signal)
    // Told when the life is over.
    looks.catch(() => undefined)
    const { reachedStep: reached, lastWords } = await liveAndDie(this.#file, fate, options).finally(
      () => looking.abort(),
    )
    await looks
    this.#kills++
    await this.#look()
    if ('step' in fate && reached) this.#steps.add(fate.step.replace(/:.*/, ''))
    const seconds = ((performance.now() - beganMs) / 1000).toFixed(1)
    const what = 'step' in fate ? `${fate.step}${reached ? '' : ' (not reached)'}` : 'at random'
    this.#tell(`kill ${this.#kills}: ${what}, ${seconds} s; ${this.#log.commits} staged commits`)
    if (reached || !('step' in fate)) return true
    this.#tell(`it said: ${lastWords}`)
    // A later visit to a step that was reached is not worth another life.
    return this.#steps.has(fate.step.replace(/:.*/, ''))
  }

  /**
   * Runs the workload in step with the killing, never pausing for long, so that every life has
   * changes to carry; what is left when the killing ends is done then.
   */
  async #drive(workload: RandomWorkload, work: { readonly done: boolean }): Promise<void> {
    const { transactions, bulkTransactions, serverCrashes } = this.#options
    const { counts } = this.#disturbances
    while (!work.done || workload.transactions < transactions) {
      const share = work.done ? 1 : Math.min(1, this.#lived + 0.05)
      if (counts.serverCrashes < Math.floor(this.#lived * (serverCrashes + 1)) && !work.done) {
        if (counts.serverCrashes < serverCrashes) await this.#crashServer(workload)
      }
      const isDue = workload.bulkTransactions < Math.ceil(share * bulkTransactions)
      if (isDue || this.#wantsBulk) {
        this.#wantsBulk = false
        await workload.runBulk()
      }
      const isBehind = workload.transactions < share * transactions
      await workload.run(isBehind ? 50 : 1)
      if (!isBehind && !work.done) await sleep(60)
    }
    await workload.finish()
  }

  async #crashServer(workload: RandomWorkload): Promise<void> {
    await this.#disturbances.crashServer()
    await this.#connect()
    workload.reconnect(this.#sessions)
    this.#tell('the server crashed and is back')
  }

  async #judge(): Promise<readonly RowDifference[] | undefined> {
    const [client] = this.#sessions
    if (client === undefined || !isRefereeInstalled()) return undefined
    return await compareWithReferee(client, workloadTables, this.#lake)
  }
}

/** How the lives of the copying process end: at a named step, or after a while. */
import { type FailpointName, failpointNames } from '../../src/base/failpoint.ts'
import type { Random } from '../support/random.ts'
import { startSluice } from '../support/sluice-process.ts'

export type Fate = { readonly step: string } | { readonly afterMs: number }

/** Steps that are only reached before the first copy is whole: they come first. */
const earlySteps: readonly FailpointName[] = [
  'source.slot-created',
  'gateway.snapshot-started',
  'gateway.snapshot-chunk-staged',
  'gateway.snapshot-chunks-staged',
]

/** Steps of work that a short run has no cause to do; they have tests of their own. */
const otherwhere: readonly FailpointName[] = [
  'staging.purge-data-removed',
  'staging.salvage-claimed',
  'gateway.removed-at-source',
  'gateway.removal-recorded',
  'delta.vacuum-file-removed',
]

const oncePerLife: readonly FailpointName[] = ['staging.epoch-claimed']

/** Every step a short life can reach. */
export const oracleSteps: readonly FailpointName[] = failpointNames.filter(
  (name) => !otherwhere.includes(name),
)

export interface FatePlan {
  /** How often each named step is a life's end; a second time it is a later visit to the step. */
  readonly killsPerStep: 0 | 1 | 2
  /** Kills at random moments. */
  readonly randomKills: number
  /** How long such a life lasts: from, to, ms. */
  readonly lifeMs: readonly [number, number]
}

/** Early steps in their order, then every other step and random moments in random order. */
export function planFates(random: Random, plan: FatePlan): readonly Fate[] {
  const early = plan.killsPerStep === 0 ? [] : earlySteps.map((step): Fate => ({ step }))
  const later: Fate[] = oracleSteps
    .filter((name) => !earlySteps.includes(name))
    .flatMap((name) => stepFates(random, name, plan))
  for (let n = 0; n < plan.randomKills; n++) later.push({ afterMs: random.int(...plan.lifeMs) })
  for (let n = later.length - 1; n > 0; n--) {
    const other = random.int(0, n + 1)
    const [a, b] = [later[n] as Fate, later[other] as Fate]
    later[n] = b
    later[other] = a
  }
  return [...early, ...later]
}

function stepFates(random: Random, name: FailpointName, { killsPerStep }: FatePlan): Fate[] {
  if (killsPerStep === 0) return []
  const first: Fate = { step: name }
  if (killsPerStep === 1 || oncePerLife.includes(name)) return [first]
  return [first, { step: `${name}:${random.int(2, 6)}` }]
}

/** A step that is not reached by then is tried again in another life. */
const stepLimitMs = 15_000

const jumpingClock = new URL('../support/jumping-clock.ts', import.meta.url).href

export interface LifeOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The wall clock of the process jumps. */
  readonly hasJumpingClock: boolean
}

export interface Life {
  /** It died by itself at its step. */
  readonly reachedStep: boolean
  /** The end of what it said. */
  readonly lastWords: string
}

/** One life of `run FILE`. Throws when the process ended by itself and not at its step. */
export async function liveAndDie(file: string, fate: Fate, options: LifeOptions): Promise<Life> {
  const env = {
    ...options.env,
    ...('step' in fate ? { SLUICE_FAILPOINT: fate.step } : {}),
    ...(options.hasJumpingClock ? { NODE_OPTIONS: `--import=${jumpingClock}` } : {}),
  }
  const child = startSluice(['run', file, '--data', 'data'], { ...options, env })
  let timedOut = false
  const timer = setTimeout(
    () => {
      timedOut = true
      child.kill('SIGKILL')
    },
    'step' in fate ? stepLimitMs : fate.afterMs,
  )
  const finished = await child.finished
  clearTimeout(timer)
  if (finished.signal !== 'SIGKILL') {
    throw new Error(
      `the process ended by itself (${finished.exitCode}): ${finished.stdout}\n${finished.stderr}`,
    )
  }
  return { reachedStep: !timedOut, lastWords: finished.stderr.slice(-1500) }
}

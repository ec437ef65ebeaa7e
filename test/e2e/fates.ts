/** How the lives of the copying process end: at a named step, or after a while. */
import { pathToFileURL } from 'node:url'
import { fileURLToPath } from 'node:url'
import { type FailpointName, failpointNames } from '../../src/base/failpoint.ts'
import type { Random } from '../support/random.ts'
import { startSluice } from '../support/sluice-process.ts'

export type Fate = { readonly step: string } | { readonly afterMs: number }

/** Steps that are only reached before the first copy is whole: they come first. */
const earlySteps: readonly FailpointName[] = [
  'source.slot-created',
  'gateway.snapshot-started',
  'gateway.snapshot-chunks-staged',
]

/** Steps of work that a short run has no cause to do; they have tests of their own. */
const otherwhere: readonly FailpointName[] = [
  'staging.purge-data-removed',
  'delta.vacuum-file-removed',
]

const oncePerLife: readonly FailpointName[] = ['staging.epoch-claimed']

/** Every step a short life can reach. */
export const oracleSteps: readonly FailpointName[] = failpointNames.filter(
  (name) => !otherwhere.includes(name),
)

/** Early steps in their order, then every other step and random moments in random order. */
export function planFates(
  random: Random,
  options: { readonly randomKills: number; readonly isShort: boolean },
): readonly Fate[] {
  const later: Fate[] = oracleSteps
    .filter((name) => !earlySteps.includes(name))
    .flatMap((name) => [
      { step: name },
      ...(options.isShort || oncePerLife.includes(name)
        ? []
        : [{ step: `${name}:${random.int(2, 6)}` }]),
    ])
  for (let n = 0; n < options.randomKills; n++) later.push({ afterMs: random.int(50, 4000) })
  for (let n = later.length - 1; n > 0; n--) {
    const other = random.int(0, n + 1)
    const [a, b] = [later[n] as Fate, later[other] as Fate]
    later[n] = b
    later[other] = a
  }
  return [...earlySteps.map((step) => ({ step })), ...later]
}

/** A step that is not reached by then is tried again in another life. */
const stepLimitMs = 15_000

const jumpingClock = pathToFileURL(
  fileURLToPath(new URL('../support/jumping-clock.ts', import.meta.url)),
).href

export interface LifeOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  /** The wall clock of the process jumps. */
  readonly hasJumpingClock: boolean
}

/** One life of `run FILE`. True when it died by itself at its step. Throws when it ended otherwise. */
export async function liveAndDie(file: string, fate: Fate, options: LifeOptions): Promise<boolean> {
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
  return !timedOut
}

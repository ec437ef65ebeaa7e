/** Processes that do one piece of work, so that what it costs is theirs alone. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** As the product has it: compiling is paid once, not by every process. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/bench', import.meta.url))

/** Runs a module of this folder with `job`; resolves to the report it prints. */
export async function runChild<Report>(module: string, job: unknown): Promise<Report> {
  const script = fileURLToPath(new URL(`./${module}.ts`, import.meta.url))
  const flags = (process.env['BENCH_NODE_FLAGS'] ?? '').split(' ').filter((flag) => flag !== '')
  const args = [...flags, script, JSON.stringify(job)]
  const { stdout, stderr } = await run(process.execPath, args, {
    maxBuffer: 2 ** 26,
    env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
  })
  if (stderr !== '') console.error(stderr)
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Report
}

export interface ProgramCost {
  readonly wallSeconds: number
  readonly cpuSeconds: number
}

/** Runs a program to its end; CPU as the shell's `times` tells it. */
export async function runProgram(
  program: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<ProgramCost> {
  const beganAt = performance.now()
  const script = '"$@" || exit $?; times'
  const { stdout } = await run('sh', ['-c', script, 'sh', program, ...args], {
    env: { ...process.env, ...env },
  })
  const wallSeconds = (performance.now() - beganAt) / 1000
  const [user, system] = (stdout.trim().split('\n').at(-1) ?? '').split(/\s+/).map(secondsOf)
  return { wallSeconds, cpuSeconds: (user ?? 0) + (system ?? 0) }
}

/** `1m2.345s` or `1m2.345000s`. */
function secondsOf(text: string): number {
  const [minutes, seconds] = text.replace('s', '').split('m')
  return Number(minutes) * 60 + Number(seconds)
}

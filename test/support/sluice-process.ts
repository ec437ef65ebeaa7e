/** Runs the command as a person would: a process of its own, ended by signals and exit codes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Halves the time a call takes to begin. */
const compileCache = join(tmpdir(), `sluice-test-compile-cache-${process.getuid?.() ?? 'user'}`)

const bin = fileURLToPath(new URL('../../src/bin.ts', import.meta.url))

/** Without what npm adds when it runs the tests: the command would take npm for its caller. */
function ownEnvironment(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
  return Object.fromEntries(kept)
}

export interface Finished {
  /** null when a signal ended it. */
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface SluiceProcess {
  readonly pid: number
  readonly finished: Promise<Finished>
  /** Resolves when the output so far contains `text`; rejects when the process ends before. */
  said(text: string, where?: 'stdout' | 'stderr'): Promise<void>
  kill(signal: NodeJS.Signals): void
}

export interface SluiceOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Words before the command, which then runs inside something. */
  readonly inside?: readonly string[]
}

export function startSluice(args: readonly string[], options: SluiceOptions): SluiceProcess {
  const [program = '', ...words] = [...(options.inside ?? []), process.execPath, bin, ...args]
  const child: ChildProcess = spawn(program, words, {
    cwd: options.cwd,
    env: { ...ownEnvironment(), NODE_COMPILE_CACHE: compileCache, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  // A test that fails leaves nobody behind who goes on for ever.
  const kill = (): void => void child.kill('SIGKILL')
  process.prependOnceListener('exit', kill)
  child.once('close', () => process.removeListener('exit', kill))
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout?.on('data', (bytes: Buffer) => out.push(bytes))
  child.stderr?.on('data', (bytes: Buffer) => err.push(bytes))
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode, signal) => {
      const text = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString('utf8')
      resolve({ exitCode, signal, stdout: text(out), stderr: text(err) })
    })
  })
  return {
    pid: child.pid ?? -1,
    finished,
    said: async (text, where = 'stdout') => {
      const parts = where === 'stdout' ? out : err
      let hasEnded = false
      const ended = finished.then(({ stderr }) => {
        hasEnded = true
        return stderr
      })
      while (!Buffer.concat(parts).includes(text)) {
        if (hasEnded) throw new Error(`ended without saying ${text}: ${await ended}`)
        const more = new Promise((resolve) => child[where]?.once('data', resolve))
        await Promise.race([more, ended])
      }
    },
    kill: (signal) => {
      child.kill(signal)
    },
  }
}

export async function runSluice(
  args: readonly string[],
  options: SluiceOptions,
): Promise<Finished> {
  return await startSluice(args, options).finished
}

/** A resource file for one PostgreSQL database and one schema of it. */
export function resourceFile(options: {
  readonly port: number
  readonly user: string
  readonly schema: string
  readonly database?: string
}): string {
  const { port, user, schema, database = 'postgres' } = options
  return `resources:
  connections:
    db:
      connection_type: POSTGRESQL
      options: {host: 127.0.0.1, port: "${port}", user: ${user}, password: "\${env.SLUICE_TEST_PASSWORD}", sslmode: disable}
  pipelines:
    gateway:
      gateway_definition: {connection_name: db, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: db}
    ingest:
      continuous: true
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        objects:
          - schema: {source_catalog: ${database}, source_schema: ${schema}, destination_catalog: main, destination_schema: copy}
`
}

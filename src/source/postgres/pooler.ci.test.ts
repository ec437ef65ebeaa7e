/**
 * A real PgBouncer in between (Debian's package, see `scripts/install-ci-tools.sh`), however it is
 * set up: called a pooler, and nothing is read through it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { freePort } from '../../quickstart/embedded-postgres.ts'
import { serverFolder, unprivileged } from '../../quickstart/server-programs.ts'
import type { Finding } from '../finding.ts'
import { parsePostgresOptions, sessionSettings } from './connection-options.ts'
import { connectionOptions, sourceOf } from './testing/postgres-fixture.ts'
import { WireConnection } from './wire/wire-connection.ts'

let server: EmbeddedPostgres
let bouncer: { readonly port: number; stop(): Promise<void> } | undefined

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterEach(async () => {
  await bouncer?.stop()
  bouncer = undefined
})

afterAll(async () => await server.stop())

async function isListening(port: number): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function startBouncer(more: Readonly<Record<string, string>>): Promise<number> {
  const folder = mkdtempSync(join(serverFolder(), 'sluice-bouncer-'))
  chmodSync(folder, 0o755)
  const port = await freePort()
  const settings = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    pool_mode: 'transaction',
    default_pool_size: '5',
    ...more,
  }
  const { password } = server
  const database = `* = host=127.0.0.1 port=${server.port} user=postgres password=${password}`
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`)
  const file = join(folder, 'pgbouncer.ini')
  writeFileSync(file, ['[databases]', database, '[pgbouncer]', ...lines, ''].join('\n'))
  const child: ChildProcess = spawn('/usr/sbin/pgbouncer', [file], {
    ...unprivileged(),
    stdio: 'ignore',
  })
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => resolve())
  })
  ended.catch(() => undefined)
  bouncer = {
    port,
    stop: async () => {
      child.kill('SIGKILL')
      await ended
      rmSync(folder, { recursive: true })
    },
  }
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error('pgbouncer ended')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return port
}

const poolerFinding = expect.objectContaining({ severity: 'error', code: 'SOURCE_POOLER' })

async function check(port: number): Promise<readonly Finding[]> {
  const source = sourceOf(server, { name: 'pooled', connection: { port: String(port) } })
  const findings = await source.check(undefined)
  await source.close()
  return findings
}

function options(port: number): ReturnType<typeof parsePostgresOptions> {
  return parsePostgresOptions(connectionOptions(server, { port: String(port) }))
}

test('a pooler as it is installed', async () => {
  const port = await startBouncer({})
  expect(await check(port)).toEqual([poolerFinding])
  await expect(WireConnection.open(options(port))).rejects.toMatchObject({ code: 'SOURCE_POOLER' })
  const replication = WireConnection.open(options(port), { isReplication: true })
  await expect(replication).rejects.toMatchObject({ code: 'SOURCE_POOLER' })
})

test('trap: a pooler that swallows what it does not know', async () => {
  const port = await startBouncer({
    ignore_startup_parameters: Object.keys(sessionSettings).join(', '),
  })
  expect(await check(port)).toEqual([poolerFinding])
})

test.each(['transaction', 'session'])(
  'trap: a pooler in %s mode before a role with our settings',
  async (mode) => {
    for (const [name, value] of Object.entries(sessionSettings)) {
      await server.sql(`alter role postgres set ${name} = '${value}'`)
    }
    const port = await startBouncer({
      pool_mode: mode,
      ignore_startup_parameters: Object.keys(sessionSettings).join(', '),
    })
    const subjects = (await check(port)).filter(({ code }) => code === 'SOURCE_POOLER')
    expect(subjects.map(({ subject }) => subject)).toEqual([
      // In session mode every session has a process of its own, but none that replicates.
      ...(mode === 'transaction' ? ['pooler'] : []),
      'replication connection',
    ])
    await server.sql('alter role postgres reset all')
  },
)

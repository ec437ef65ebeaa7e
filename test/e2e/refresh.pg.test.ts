/** `refresh` of tables whose gateways are run by different processes, or by none. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../support/embedded-postgres.ts'
import { runSluice, startSluice, type Finished } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  folder = await mkdtemp(join(tmpdir(), 'sluice-refresh-'))
  await server.sql(`CREATE SCHEMA a; CREATE TABLE a.t (id int PRIMARY KEY); INSERT INTO a.t VALUES (1);
    CREATE SCHEMA b; CREATE TABLE b."dotted.name" (id int PRIMARY KEY);
    INSERT INTO b."dotted.name" VALUES (1), (2)`)
  for (const name of ['a', 'b']) await writeFile(join(folder, `${name}.yml`), resourceFile(name))
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

function resourceFile(name: string): string {
  const object =
    name === 'a'
      ? 'schema: {source_catalog: postgres, source_schema: a, destination_catalog: main, destination_schema: a}'
      : 'table: {source_catalog: postgres, source_schema: b, source_table: dotted.name, destination_catalog: main, destination_schema: b, destination_table: t}'
  return `resources:
  connections:
    db: {connection_type: POSTGRESQL, options: {host: 127.0.0.1, port: "${server.port}", user: postgres, password: "\${env.SLUICE_TEST_PASSWORD}", sslmode: disable}}
  pipelines:
    ${name}_gateway:
      gateway_definition: {connection_name: db, gateway_storage_catalog: main, gateway_storage_schema: staging, gateway_storage_name: ${name}}
    ${name}_ingest:
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.${name}_gateway.id}
        objects: [${object}]
`
}

const options = () => ({ cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } })
const sluice = async (...args: string[]): Promise<Finished> =>
  await runSluice([...args, '--data', 'data', '--output', 'json'], options())

async function statusOf(destination: string): Promise<Record<string, unknown> | undefined> {
  const { stdout } = await sluice('status')
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return events.find((event) => event['destination'] === destination)
}

async function versionOf(destination: string): Promise<number | undefined> {
  const version = (await statusOf(destination))?.['version']
  return version === undefined ? undefined : Number(version)
}

function resultOf({ stdout }: Finished): unknown {
  const events = stdout.trim().split('\n')
  return events
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find(({ event }) => event === 'finished')
}

/** Resolves when `look` says so; each look is a command of its own, so it needs no pause. */
async function until(look: () => Promise<boolean>): Promise<void> {
  while (!(await look()));
}

test('a table of an idle gateway is copied here, one of a running gateway there', async () => {
  const first = await sluice('run', 'b.yml', '--once')
  expect(first.exitCode, first.stdout + first.stderr).toBe(0)
  const running = startSluice(['run', 'a.yml', '--data', 'data'], options())
  try {
    await until(async () => (await versionOf('main.a.t')) === 0)
    expect(await versionOf('main.b.t')).toBe(0)
    const idle = await sluice('refresh', 'b.t', '--full')
    expect(idle.exitCode, idle.stdout + idle.stderr).toBe(0)
    expect(await versionOf('main.b.t')).toBe(1)
    expect(await versionOf('main.a.t')).toBe(0)
    const asked = await sluice('refresh', '--all', '--full')
    expect(asked.exitCode, asked.stdout + asked.stderr).toBe(0)
    expect(await versionOf('main.b.t')).toBe(2)
    // It was waited for.
    expect(await versionOf('main.a.t')).toBe(1)
    expect(resultOf(asked)).toMatchObject({ tables: 2, rows_loaded: 3, failed_tables: [] })
    // Staged commits of other tables leave nothing to do for this one.
    const seen = await statusOf('main.a.t')
    expect(seen?.['stagedCommit']).toBe(seen?.['appliedCommit'])
  } finally {
    running.kill('SIGTERM')
    await running.finished
  }
})

test('verify ends when the process it asked ends without an answer', async () => {
  const running = startSluice(['run', 'a.yml', '--data', 'data'], options())
  await until(async () => (await sluice('status')).stdout.includes('"isRunning":true'))
  const client = await server.connect()
  // A transaction that is open keeps the comparison from beginning.
  await client.query('BEGIN; SELECT pg_current_xact_id()')
  const verifying = sluice('verify', 'a.t')
  await until(
    async () =>
      (
        await server.sql(`SELECT 1 FROM pg_stat_activity
    WHERE query LIKE 'CREATE_REPLICATION_SLOT%TEMPORARY%' AND state = 'active'`)
      ).length > 0,
  )
  running.kill('SIGKILL')
  const verified = await verifying
  await client.end()
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(1)
  expect(verified.stdout + verified.stderr).toContain('GATEWAY_STOPPED')
})

test('a running gateway answers for tables that are gone: named they fail, among all they are passed over', async () => {
  await server.sql('CREATE TABLE a.gone (id int PRIMARY KEY); INSERT INTO a.gone VALUES (1)')
  const running = startSluice(['run', 'a.yml', '--data', 'data'], options())
  try {
    await until(async () => (await versionOf('main.a.gone')) === 0)
    await server.sql('DROP TABLE a.gone')
    const named = await sluice('refresh', 'a.gone', '--full')
    expect(named.exitCode).toBe(1)
    const failed = [{ table: 'main.a.gone', problem: { code: 'GATEWAY_TABLE_GONE' } }]
    expect(resultOf(named)).toMatchObject({ failed_tables: failed })
    // Now it is long gone, and nothing more of it gets on record.
    const again = await sluice('refresh', 'a.gone', '--full')
    expect(resultOf(again)).toMatchObject({ failed_tables: failed })
    const all = await sluice('refresh', '--all', '--full')
    expect(all.exitCode, all.stdout + all.stderr).toBe(0)
    expect(all.stderr).toMatch(/not refreshed.*a\.gone/)
  } finally {
    running.kill('SIGTERM')
    // That tables are copied anew is no error.
    expect((await running.finished).stderr).not.toContain('PIPELINE_TABLE_GAP')
  }
  const idle = await sluice('refresh', 'a.gone', '--full')
  expect(idle.exitCode).toBe(1)
  expect(resultOf(idle)).toMatchObject({
    failed_tables: [{ table: 'main.a.gone', problem: { code: 'GATEWAY_TABLE_GONE' } }],
  })
})

/** Tables that are dropped at the source: what a schema object brought is told of and harms nothing. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Finished, resourceFile, runSluice, startSluice } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder = ''
let file = ''

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
})

afterAll(async () => {
  await server.stop()
})

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-dropped-'))
  file = join(folder, 'resources.yml')
  const { port, user } = server
  await writeFile(file, resourceFile({ port, user, schema: 's' }))
  await server.sql(`CREATE SCHEMA s; CREATE TABLE s.stays (id int PRIMARY KEY);
    INSERT INTO s.stays VALUES (1)`)
})

afterEach(async () => {
  try {
    expect((await sluice('remove', 'gateway', '--yes')).exitCode).toBe(0)
  } finally {
    await server.sql('DROP SCHEMA s CASCADE')
    await rm(folder, { recursive: true, force: true })
  }
})

const env = (): Record<string, string> => ({ SLUICE_TEST_PASSWORD: server.password })

async function sluice(...args: readonly string[]): Promise<Finished> {
  return await runSluice([...args, '--data', 'data'], { cwd: folder, env: env() })
}

async function expectGone(): Promise<void> {
  const run = await sluice('run', file, '--once')
  expect(run.exitCode, run.stderr).toBe(0)
  expect(run.stderr).not.toContain('GATEWAY_TABLE_GONE')
  const verify = await sluice('verify')
  expect(verify.exitCode, verify.stderr).toBe(0)
  expect(verify.stdout).toMatch(/gone at the source, not compared {2}main\.copy\.goes/)
  const status = await sluice('status')
  expect(status.stdout).toMatch(/main\.copy\.goes +gone +1 /)
  expect(status.stderr).toMatch(/GATEWAY_TABLE_GONE: main\.copy\.goes[^]*delete its folder/)
  const rows = await sluice('query', 'SELECT id FROM main.copy.goes')
  expect(rows.stdout, rows.stderr).toContain('7')
}

test('dropped while nothing ran: told once, and nothing fails', async () => {
  await server.sql('CREATE TABLE s.goes (id int PRIMARY KEY); INSERT INTO s.goes VALUES (7)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  await server.sql('DROP TABLE s.goes')
  const told = await sluice('run', file, '--once')
  expect(told.exitCode, told.stderr).toBe(0)
  expect(told.stderr).toContain('GATEWAY_TABLE_GONE')
  await expectGone()
  await server.sql('CREATE TABLE s.goes (id int PRIMARY KEY); INSERT INTO s.goes VALUES (8)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  expect((await sluice('verify')).stdout).toContain('2 tables equal')
})

test('renamed: the destination of the former name is left as it was, and nobody waits for it', async () => {
  await server.sql('CREATE TABLE s.former (id int PRIMARY KEY); INSERT INTO s.former VALUES (7)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  expect((await sluice('status')).stdout).not.toContain('left')
  await server.sql('ALTER TABLE s.former RENAME TO present; INSERT INTO s.present VALUES (8)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  // What is staged later is nothing that the former destination is behind with.
  await server.sql('INSERT INTO s.present VALUES (9)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  const status = await sluice('status', '--output', 'json')
  const tables = status.stdout.split('\n').filter((line) => line.includes('"main.copy.'))
  const former = tables.find((line) => line.includes('"main.copy.former"'))
  expect(JSON.parse(former ?? '{}')).toMatchObject({
    state: 'left',
    problem: {
      code: 'PIPELINE_DESTINATION_LEFT',
      message: expect.stringContaining('its rows go to main.copy.present now') as string,
      remedy: expect.stringMatching(/delete its folder.*Its folder is .*former/s) as string,
    },
  })
  const text = await sluice('status')
  expect(text.stdout).toMatch(/main\.copy\.former +left /)
  const verify = await sluice('verify')
  expect(verify.exitCode, verify.stderr).toBe(0)
  expect(verify.stdout).toMatch(/nothing leads to it any more, not compared {2}main\.copy\.former/)
  expect(verify.stdout).toContain('2 tables equal, 1 to which nothing leads any more')
  const named = await sluice('verify', 'copy.former')
  expect(named.stdout).toMatch(/not compared {2}main\.copy\.former/)
  const stopped = await sluice('refresh', 'copy.former', '--full')
  expect(stopped.stderr).toContain('PIPELINE_DESTINATION_LEFT')
  expect(stopped.exitCode).toBe(1)
  expect((await sluice('refresh', '--all', '--full')).exitCode).toBe(0)
  const running = startSluice(['run', file, '--data', 'data'], { cwd: folder, env: env() })
  try {
    const isStreaming = async (): Promise<boolean> =>
      /main\.copy\.present +streaming/.test((await sluice('status')).stdout)
    await expect.poll(isStreaming, { timeout: 30_000 }).toBe(true)
    const all = await sluice('refresh', '--all', '--full')
    expect(all.exitCode, all.stderr).toBe(0)
    const one = await sluice('refresh', 'copy.former', '--full')
    expect(one.stderr).toContain('PIPELINE_DESTINATION_LEFT')
    expect(one.exitCode).toBe(1)
  } finally {
    running.kill('SIGTERM')
    await running.finished
  }
})

test('trap: one that a table object names is missed', async () => {
  await server.sql('CREATE TABLE s.goes (id int PRIMARY KEY); INSERT INTO s.goes VALUES (7)')
  const { port, user } = server
  const named =
    '- table: {source_catalog: postgres, source_schema: s, source_table: goes, destination_catalog: main, destination_schema: copy}\n'
  await writeFile(file, `${resourceFile({ port, user, schema: 's' })}          ${named}`)
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  await server.sql('DROP TABLE s.goes')
  for (const args of [['run', file, '--once'], ['run', file, '--once'], ['verify']]) {
    const missed = await sluice(...args)
    expect(missed.exitCode).toBe(1)
    expect(missed.stderr).toContain('GATEWAY_TABLE_GONE')
  }
})

test('a detached partition is a table of its own, and gone as one when it is attached again', async () => {
  await server.sql(`CREATE TABLE s.root (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE s.part PARTITION OF s.root FOR VALUES FROM (0) TO (10);
    CREATE TABLE s.rest PARTITION OF s.root DEFAULT; INSERT INTO s.root VALUES (7), (70)`)
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  await server.sql('ALTER TABLE s.root DETACH PARTITION s.part; INSERT INTO s.part VALUES (8)')
  const detached = await sluice('run', file, '--once', '--log-level', 'info')
  expect(detached.exitCode, detached.stderr).toBe(0)
  expect(detached.stderr).toMatch(
    /info +table is copied anew: partitions were detached.* table=s\.root\b/,
  )
  expect(detached.stderr).toMatch(/s\.part: loaded \(2 rows\)/)
  expect((await sluice('status')).stdout).toMatch(/main\.copy\.part +stopped +2 /)
  expect((await sluice('verify')).stdout).toContain('3 tables equal')
  await server.sql('ALTER TABLE s.root ATTACH PARTITION s.part FOR VALUES FROM (0) TO (10)')
  const attached = await sluice('run', file, '--once')
  expect(attached.exitCode, attached.stderr).toBe(0)
  expect((await sluice('status')).stdout).toMatch(/main\.copy\.part +gone +2 /)
  expect((await sluice('verify')).stdout).toContain('2 tables equal, 1 gone at the source')
})

test('what was refused and never loaded is forgotten, and its twin takes its place', async () => {
  await server.sql(`CREATE TABLE s."Twin" (id int PRIMARY KEY); CREATE TABLE s.twin (id int PRIMARY KEY);
    INSERT INTO s."Twin" VALUES (1); CREATE TABLE s."tab.dot" (id int PRIMARY KEY)`)
  expect((await sluice('run', file, '--once')).exitCode).toBe(1)
  await server.sql('DROP TABLE s.twin, s."tab.dot"')
  const run = await sluice('run', file, '--once')
  expect(run.exitCode, run.stderr).toBe(0)
  const verify = await sluice('verify')
  expect(verify.exitCode, verify.stderr).toBe(0)
  expect(verify.stdout).toContain('2 tables equal')
  expect((await sluice('status')).stdout).not.toMatch(/gone|failed|tab\.dot/)
})

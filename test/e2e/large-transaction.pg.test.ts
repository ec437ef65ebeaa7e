/** A transaction that is read while it is in progress, by processes that are killed meanwhile. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'
import { type Finished, resourceFile, runSluice } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  server = await startEmbeddedPostgres({
    settings: { fsync: 'off', logical_decoding_work_mem: '64kB' },
  })
  folder = await mkdtemp(join(tmpdir(), 'sluice-large-'))
  await writeFile(
    join(folder, 'large.yml'),
    resourceFile({ port: server.port, user: server.user, schema: 'public' }),
  )
  await server.sql("create table t (id int primary key, v text); insert into t values (0, 'x')")
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function run(failpoint = ''): Promise<Finished> {
  const env = { SLUICE_TEST_PASSWORD: server.password, SLUICE_FAILPOINT: failpoint }
  return await runSluice(['run', 'large.yml', '--once', '--data', 'data'], { cwd: folder, env })
}

async function spoolFiles(): Promise<readonly string[]> {
  return (await readdir(join(folder, 'data'), { recursive: true })).filter((name) =>
    name.endsWith('.spool'),
  )
}

test('killed between two blocks, and between the last row and the commit: nothing lost, nothing twice', async () => {
  const first = await run()
  expect(first.exitCode, first.stdout + first.stderr).toBe(0)
  await server.sql(`begin; insert into t select g, repeat('a', 50) from generate_series(1, 5000) g;
    savepoint s; delete from t; rollback to s; update t set v = 'b' where id % 100 = 0;
    insert into t select g, repeat('c', 50) from generate_series(5001, 9000) g; commit`)
  if (postgresVersion >= 14) {
    expect((await run('source.transaction-spooled:5')).signal).toBe('SIGKILL')
    expect(await spoolFiles()).toHaveLength(1)
    expect((await run('source.transaction-replayed')).signal).toBe('SIGKILL')
    expect(await spoolFiles()).toHaveLength(1)
  }
  expect((await run('gateway.acknowledged')).signal).toBe('SIGKILL')
  const last = await run()
  expect(last.exitCode, last.stdout + last.stderr).toBe(0)
  expect(await spoolFiles()).toEqual([])
  const env = { SLUICE_TEST_PASSWORD: server.password }
  const verified = await runSluice(['verify', '--data', 'data'], { cwd: folder, env })
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
  const rows = await runSluice(
    [
      'query',
      'select count(*) as n, min(id) as least from main.copy.t',
      '--data',
      'data',
      '--output',
      'json',
    ],
    { cwd: folder, env },
  )
  expect(rows.stdout).toContain('9001')
})

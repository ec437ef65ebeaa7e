/** A table that another session has locked is waited for by itself: all others go on. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../support/embedded-postgres.ts'
import { resourceFile, runSluice, startSluice, type Finished } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', autovacuum: 'off' } })
  folder = await mkdtemp(join(tmpdir(), 'sluice-locked-'))
  const { port } = server
  await writeFile(
    join(folder, 'db.yml'),
    resourceFile({ port, user: 'postgres', schema: 'public' }),
  )
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

const options = () => ({ cwd: folder, env: { SLUICE_TEST_PASSWORD: server.password } })
const sluice = async (...args: string[]): Promise<Finished> =>
  await runSluice([...args, '--data', 'data', '--output', 'json'], options())

/** Ids in the destination. */
async function idsOf(table: string): Promise<string> {
  const sql = `SELECT string_agg(id::text, ' ' ORDER BY id) AS ids FROM main.copy.${table}`
  const { exitCode, stdout } = await sluice('query', sql)
  return exitCode === 0 ? stdout : ''
}

/** Each look is a command of its own, so it needs no pause. */
async function arrives(table: string, ids: string): Promise<void> {
  while (!(await idsOf(table)).includes(`"${ids}"`));
}

test('trap: neither a table that is to be published nor one that is copied anew holds others up by its lock', async () => {
  await server.sql(`create table free (id int primary key); create table taken (id int primary key);
    insert into free values (1); insert into taken values (1)`)
  const holder = await server.connect()
  // As VACUUM and CREATE INDEX CONCURRENTLY lock it: it can not be published.
  await holder.query('begin; lock table taken in share update exclusive mode')
  const running = startSluice(['run', 'db.yml', '--data', 'data'], options())
  try {
    await arrives('free', '1')
    await server.sql('insert into free values (2)')
    await arrives('free', '1 2')
    expect((await sluice('status')).stdout).toContain('SOURCE_TABLE_LOCKED')
    await holder.query('commit')
    await arrives('taken', '1')
    // As ALTER TABLE and VACUUM FULL lock it: it can not be read.
    await holder.query('begin; lock table taken; insert into taken values (2)')
    const refreshing = sluice('refresh', 'copy.taken', '--full')
    const waits = `select from pg_locks where relation = 'taken'::regclass and not granted`
    while ((await server.sql(waits)).length === 0);
    await server.sql('insert into free values (3)')
    await arrives('free', '1 2 3')
    await holder.query('commit')
    await arrives('taken', '1 2')
    const refreshed = await refreshing
    expect(refreshed.exitCode, refreshed.stdout + refreshed.stderr).toBe(0)
  } finally {
    running.kill('SIGTERM')
    const { stdout, stderr } = await running.finished
    expect(stdout + stderr).not.toContain('SOURCE_PUBLICATION_INCOMPLETE')
    await holder.end()
  }
})

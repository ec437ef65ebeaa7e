/** `verify` where single tables can not be compared: they are named, and the others are compared. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Finished, resourceFile, runSluice } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder = ''
beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', synchronous_commit: 'off' } })
})
afterAll(async () => await server.stop())

const sluice = async (...args: readonly string[]): Promise<Finished> =>
  await runSluice([...args, '--data', 'data'], {
    cwd: folder,
    env: { SLUICE_TEST_PASSWORD: server.password },
  })

async function runOnce(): Promise<Finished> {
  const ran = await sluice('run', 'r.yml', '--once')
  expect(ran.exitCode, ran.stdout + ran.stderr).toBe(0)
  return ran
}

/** A file of its own, as staging has the same bytes: the pages of all columns, of the same size. */
async function overwrite(file: string): Promise<void> {
  const bytes = await readFile(file)
  bytes.fill(0xa5, 4, bytes.length >> 1)
  await rm(file)
  await writeFile(file, bytes)
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'))
  await server.sql(`CREATE SCHEMA s; SET search_path = s;
    CREATE TABLE a (id int PRIMARY KEY, v text); INSERT INTO a VALUES (1, 'a');
    CREATE TABLE b (id int PRIMARY KEY, v text); INSERT INTO b SELECT n, repeat(md5(n::text), 9) FROM generate_series(1, 500) n;
    CREATE TABLE c (id int PRIMARY KEY, v text); INSERT INTO c VALUES (1, 'c')`)
  await writeFile(
    join(folder, 'r.yml'),
    resourceFile({ port: server.port, user: server.user, schema: 's' }),
  )
  await runOnce()
})
afterEach(async () => {
  await sluice('remove', 'r.yml')
  await server.sql('DROP SCHEMA s CASCADE')
  await rm(folder, { recursive: true, force: true })
})

test('trap: a table whose file is damaged is named, and those after it are compared', async () => {
  const place = join(folder, 'data/lake/main/copy/b')
  const [file = ''] = (await readdir(place)).filter((name) => name.endsWith('.parquet'))
  await truncate(join(place, file), 1000)
  const verified = await sluice('verify')
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(1)
  expect(verified.stdout).toMatch(/equal {2}main\.copy\.a/)
  expect(verified.stdout).toMatch(/equal {2}main\.copy\.c/)
  const named = `DESTINATION_FILE_DAMAGED: main\\.copy\\.b: data file \\S*/main/copy/b/${file} has 1000 bytes`
  expect(verified.stderr).toMatch(new RegExp(named))
})

test.each(['cut off', 'overwritten', 'gone'])(
  'trap: a data file that is damaged (%s) is named with its remedy, and the remedy mends it',
  async (damage) => {
    const place = join(folder, 'data/lake/main/copy/b')
    const [name = ''] = (await readdir(place)).filter((one) => one.endsWith('.parquet'))
    const file = join(place, name)
    if (damage === 'cut off') await truncate(file, 1000)
    else if (damage === 'gone') await rm(file)
    else await overwrite(file)
    await server.sql(`UPDATE s.b SET v = 'new' WHERE id < 3; UPDATE s.a SET v = 'new'`)
    const ran = await sluice('run', 'r.yml', '--once')
    expect(ran.exitCode, ran.stdout + ran.stderr).toBe(1)
    expect(ran.stderr).toMatch(
      new RegExp(`DESTINATION_FILE_DAMAGED: main\\.copy\\.b: data file \\S*/main/copy/b/${name} `),
    )
    expect(ran.stderr).toContain('refresh main.copy.b --full')
    const refreshed = await sluice('refresh', 'main.copy.b', '--full')
    expect(refreshed.exitCode, refreshed.stdout + refreshed.stderr).toBe(0)
    const verified = await sluice('verify')
    expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
  },
)

test('trap: a table that was dropped and made again is not gone: its old rows are not proven', async () => {
  await server.sql(`BEGIN; DROP TABLE s.b; CREATE TABLE s.b (id int PRIMARY KEY, v text);
    INSERT INTO s.b VALUES (1, 'new'); COMMIT`)
  const verified = await sluice('verify')
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(1)
  expect(verified.stdout + verified.stderr).toMatch(/VERIFY_NOT_LOADED: main\.copy\.b/)
  expect(verified.stdout).not.toContain('gone at the source')
  await runOnce()
  const after = await sluice('verify')
  expect(after.exitCode, after.stdout + after.stderr).toBe(0)
})

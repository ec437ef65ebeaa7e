/** A table from one pipeline of a file to another, and a pipeline that goes out of the file. */
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Finished, resourceFile, runSluice } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
let folder = ''

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  folder = await mkdtemp(join(tmpdir(), 'sluice-handover-'))
  await server.sql(`create table t (id int primary key, v date); create table u (id int primary key);
    insert into t values (1, '2020-01-01'), (2, 'infinity'); insert into u values (1), (9)`)
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

async function sluice(...args: readonly string[]): Promise<Finished> {
  const env = { SLUICE_TEST_PASSWORD: server.password }
  return await runSluice([...args, '--data', 'data'], { cwd: folder, env })
}

/** Runs a file with a gateway and these pipelines, each with the tables it names. */
async function run(pipelines: Readonly<Record<string, readonly string[]>>): Promise<Finished> {
  const { port, user } = server
  const whole = resourceFile({ port, user, schema: 'public' })
  const [head = ''] = whole.split('    ingest:')
  const object = (table: string): string =>
    `          - table: {source_catalog: postgres, source_schema: public, source_table: ${table}, destination_catalog: main, destination_schema: copy, destination_table: ${table}, table_configuration: {scd_type: ${table === 'u' ? 'SCD_TYPE_2' : 'SCD_TYPE_1'}}}\n`
  const others = Object.entries(pipelines).map(
    ([key, tables]) => `    ${key}:
      configuration: {sluice.unfitValues: quarantine}
      ingestion_definition:
        ingestion_gateway_id: \${resources.pipelines.gateway.id}
        objects:
${tables.map(object).join('')}`,
  )
  const file = join(folder, 'resources.yml')
  await writeFile(file, `${head}${others.join('')}`)
  return await sluice('run', file, '--once')
}

async function expectEqual(): Promise<void> {
  const verified = await sluice('verify')
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toContain('2 tables equal')
}

const versions = `select string_agg(id::text, ' ' order by id) as ids from main.copy.u`

/** Staged commit of each version of the table. */
function stagedCommits(table: string): readonly number[] {
  const log = join(folder, 'data', 'lake', 'main', 'copy', table, '_delta_log')
  const versions = readdirSync(log).filter((name) => /^\d+\.json$/.test(name))
  return versions.toSorted().flatMap((name) => {
    const found = /"stagedCommit":(\d+)/.exec(readFileSync(join(log, name), 'utf8'))
    return found === null ? [] : [Number(found[1])]
  })
}

test('a renamed pipeline takes its tables over once the old one is removed', async () => {
  expect((await run({ a: ['t', 'u'] })).exitCode).toBe(0)
  await server.sql('delete from u where id = 9')
  expect((await run({ a: ['t', 'u'] })).exitCode).toBe(0)
  // It leaves a place in the log at which all tables are compared.
  await expectEqual()
  // A copy in which that row is not: only a history that goes on still has it.
  await server.sql('alter table u alter id type bigint')
  expect((await run({ a: ['t', 'u'] })).exitCode).toBe(0)
  await expectEqual()

  const renamed = await run({ b: ['t', 'u'] })
  expect(renamed.exitCode).toBe(1)
  const said = renamed.stdout + renamed.stderr
  expect(said).toMatch(/pipeline a is deployed and not in the file.*remove a --yes/)
  expect(said).toContain('main.copy.t belongs to the pipeline a, not to b')
  expect(said).toContain('remove a --yes --data')
  expect(said).not.toMatch(/belongs to the pipeline [0-9a-f]{8}-/)

  const asked = await sluice('remove', 'a')
  expect(asked.exitCode).toBe(2)
  expect(asked.stderr).toContain('main.copy.t')
  const removed = await sluice('remove', 'a', '--yes')
  expect(removed.exitCode, removed.stderr).toBe(0)
  await server.sql(`insert into t values (3, '2021-01-01'); insert into u values (2)`)
  const taken = await run({ b: ['t', 'u'] })
  expect(taken.exitCode, taken.stdout + taken.stderr).toBe(0)
  await expectEqual()
  for (const table of ['t', 'u']) {
    const commits = stagedCommits(table)
    expect(commits.length, table).toBeGreaterThan(1)
    expect(commits, 'no version goes back').toEqual(commits.toSorted((a, b) => a - b))
  }
  const history = await sluice('query', versions, '--output', 'json')
  expect(JSON.parse(history.stdout)).toEqual({ ids: '1 2 9' })
  await server.sql(`update t set v = 'infinity' where id = 3; update t set v = '2020-02-02' where id = 2;
    delete from u where id = 1`)
  expect((await run({ b: ['t', 'u'] })).exitCode).toBe(0)
  await expectEqual()
}, 120_000)

test('a table moves to another pipeline of the file, and one out of the file fails nothing', async () => {
  const taken = await run({ b: ['u'], c: ['t'] })
  expect(taken.exitCode).toBe(1)
  expect(taken.stdout + taken.stderr).toContain('main.copy.t belongs to the pipeline b, not to c')
  expect((await sluice('remove', 'b', '--yes')).exitCode).toBe(0)
  const moved = await run({ b: ['u'], c: ['t'] })
  expect(moved.exitCode, moved.stdout + moved.stderr).toBe(0)
  await expectEqual()
  // Whoever removed a pipeline did not give away what it took up again.
  const both = await run({ c: ['t', 'u'] })
  expect(both.exitCode).toBe(1)
  expect(both.stdout + both.stderr).toContain('main.copy.u belongs to the pipeline b, not to c')

  const without = await run({ b: ['u'] })
  expect(without.exitCode, without.stdout + without.stderr).toBe(0)
  const verified = await sluice('verify')
  expect(verified.exitCode, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toMatch(
    /pipeline c is not in the file any more, not compared\W+main.copy.t/,
  )
  expect(verified.stdout).toContain('1 table equal, 1 of no pipeline of the file')
  const named = await sluice('verify', 'copy.t')
  expect(named.exitCode, named.stdout + named.stderr).toBe(0)
  expect(named.stdout).toContain('pipeline c is not in the file any more, not compared')
  expect((await sluice('refresh', '--all', '--full')).exitCode).toBe(0)
}, 120_000)

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
  folder = await mkdtemp(join(tmpdir(), 'sluice-remove-'))
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true, force: true })
})

const made = `select slot_name::text as name from pg_replication_slots
  union all select pubname from pg_publication`

async function sluice(...args: readonly string[]): Promise<Finished> {
  const env = { SLUICE_TEST_PASSWORD: server.password }
  return await runSluice([...args, '--data', 'data'], { cwd: folder, env })
}

test('a gateway leaves nothing behind, also when its server is away at first', async () => {
  await server.sql('create table kept (id int primary key); insert into kept values (1)')
  const file = join(folder, 'resources.yml')
  const { port, user } = server
  const text = resourceFile({ port, user, schema: 'public' })
  await writeFile(file, text)
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  const before = await server.sql(made)
  expect(before).toHaveLength(2)

  const asked = await sluice('remove', 'gateway')
  expect(asked.exitCode).toBe(2)
  expect(asked.stderr).toContain('pg_drop_replication_slot')
  expect((await sluice('remove', 'nobody', '--yes')).exitCode).toBe(2)
  expect(await server.sql(made)).toEqual(before)

  // Another gateway in its place: the first is told of.
  const other = text.replaceAll('gateway:', 'other:').replaceAll('.gateway.id', '.other.id')
  const renamed = other
    .replace('gateway_storage_name: db', 'gateway_storage_name: db2')
    .replace('    ingest:', '    ingest2:')
    .replace('destination_schema: copy', 'destination_schema: copy2')
  await writeFile(file, renamed)
  const run = await sluice('run', file, '--once')
  expect(run.exitCode, run.stderr).toBe(0)
  expect(run.stdout + run.stderr).toContain('remove gateway --yes')

  await server.shutdown()
  const away = await sluice('remove', 'gateway', '--yes')
  expect(away.exitCode).toBe(1)
  expect(away.stdout + away.stderr).toMatch(/DROP PUBLICATION IF EXISTS "sluice_gateway/)
  await server.start()
  const removed = await sluice('remove', 'gateway', '--yes')
  expect(removed.exitCode, removed.stderr).toBe(0)
  expect(removed.stdout).toContain('dropped replication slot')
  expect(removed.stdout).toContain('dropped publication')
  const left = await server.sql(made)
  expect(left).toHaveLength(2)
  expect(left.every(({ name }) => String(name).startsWith('sluice_other'))).toBe(true)
  expect((await sluice('query', 'select id from main.copy.kept')).exitCode).toBe(0)

  await server.shutdown()
  const forgotten = await sluice('remove', 'other', '--yes', '--forget')
  expect(forgotten.exitCode, forgotten.stderr).toBe(0)
  expect(forgotten.stdout).toContain('pg_drop_replication_slot')
  expect((await sluice('status')).stdout).not.toContain('gateway')
  await server.start()
})

test('a slot and a publication that a person made are read, verified and left', async () => {
  await server.sql(`create schema mine; create table mine.m (id int primary key);
    create publication my_publication for tables in schema mine`)
  await server.sql("select pg_create_logical_replication_slot('my_slot', 'pgoutput')")
  await server.sql('insert into mine.m values (1)')
  const file = join(folder, 'mine.yml')
  const { port, user } = server
  const text = resourceFile({ port, user, schema: 'mine' })
    .replaceAll('gateway:', 'mine:')
    .replaceAll('.gateway.id', '.mine.id')
    .replace('gateway_storage_name: db', 'gateway_storage_name: mine')
    .replace('    ingest:', '    ingest3:')
    .replace('destination_schema: copy', 'destination_schema: copy3')
  const names = `        source_configurations:
          - catalog: {source_catalog: postgres, postgres: {slot_config: {slot_name: my_slot, publication_name: my_publication}}}
`
  await writeFile(file, text.replace('        objects:', `${names}        objects:`))
  const run = await sluice('run', file, '--once')
  expect(run.exitCode, `${run.stdout}\n${run.stderr}`).toBe(0)
  await server.sql('insert into mine.m values (2)')
  expect((await sluice('run', file, '--once')).exitCode).toBe(0)
  const rows = await sluice(
    'query',
    'select count(*)::int as n from main.copy3.m',
    '--output',
    'json',
  )
  expect(rows.stdout).toMatch(/\b2\b/)
  // Other names for what is deployed are refused.
  const other = text.replace(
    '        objects:',
    `${names.replace('my_slot', 'other')}        objects:`,
  )
  await writeFile(file, other)
  expect((await sluice('run', file, '--once')).exitCode).toBe(2)
  const removed = await sluice('remove', 'mine', '--yes')
  expect(removed.exitCode, removed.stderr).toBe(0)
  expect(removed.stdout).toContain('left replication slot "my_slot"')
  const left = (await server.sql(made)).map(({ name }) => name)
  expect(left).toContain('my_slot')
  expect(left).toContain('my_publication')
})

test('trap: the same file is run again after its gateway was removed', async () => {
  await server.sql(`create schema again; create table again.a (id int primary key, v text);
    create table again.b (id int primary key);
    insert into again.a values (1, 'one'), (2, 'two'); insert into again.b values (1)`)
  const file = join(folder, 'again.yml')
  const { port, user } = server
  const text = resourceFile({ port, user, schema: 'again' })
    .replaceAll('gateway:', 'again:')
    .replaceAll('.gateway.id', '.again.id')
    .replace('gateway_storage_name: db', 'gateway_storage_name: again')
    .replace('    ingest:', '    ingest4:')
    .replace('destination_schema: copy', 'destination_schema: copy4')
  await writeFile(file, text)
  for (const changes of [
    `update again.a set v = 'changed' where id = 1; delete from again.a where id = 2`,
    `insert into again.a values (3, 'three'); truncate again.b`,
  ]) {
    const first = await sluice('run', file, '--once')
    expect(first.exitCode, first.stderr).toBe(0)
    const removed = await sluice('remove', 'again', '--yes')
    expect(removed.exitCode, removed.stderr).toBe(0)
    // What nobody read.
    await server.sql(changes)
  }
  for (const changes of [
    'select 1 as one',
    `insert into again.b values (7); delete from again.a`,
  ]) {
    await server.sql(changes)
    const run = await sluice('run', file, '--once')
    expect(run.exitCode, `${run.stdout}\n${run.stderr}`).toBe(0)
    const verified = await sluice('verify', 'main.copy4.a', 'main.copy4.b')
    expect(verified.exitCode, `${verified.stdout}\n${verified.stderr}`).toBe(0)
  }
})

/** What `check` prints about a publication can be run by whom the pages name, and is enough. */
import { beforeAll, expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { accessScript } from './access-script.ts'
import { roleFindings } from './prerequisites-role.ts'
import { publicationFindings } from './publication-finding.ts'
import { recogniseService } from './managed-service.ts'
import { createControl } from './control.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions, sourceOf } from './testing/postgres-fixture.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

beforeAll(async () => {
  await server.sql(`create role reads login replication password 'r'; create role owns;
    grant create on database postgres to owns; create schema p authorization owns;
    grant usage on schema p to reads; set role owns;
    create table p.a (id int primary key, twice int generated always as (id * 2) stored);
    grant select on p.a to reads`)
})

test('trap: the owner of the tables, who is no member of our role, runs it', async () => {
  const connection = { user: 'reads', password: 'r' }
  const source = sourceOf(server, { name: 'p_mine', connection })
  const tables = await source.discoverTables(['p'])
  const found = (await source.check(tables)).filter(({ code }) =>
    code?.startsWith('SOURCE_PUBLICATION'),
  )
  expect(found.map(({ code }) => code)).toEqual([
    'SOURCE_PUBLICATION_MISSING',
    'SOURCE_PUBLICATION_INCOMPLETE',
  ])
  for (const { remedy } of found) await server.sql(`set role owns; ${remedy}`)
  const later = await source.check(await source.discoverTables(['p']))
  expect(later.filter(({ subject, table }) => subject === 'publication' || table)).toMatchObject([
    { severity: 'ok' },
    // Older servers never have generated columns in the log.
    { severity: postgresVersion >= 18 ? 'ok' : 'warning' },
  ])
  await source.close()
})

test('trap: the script for a database that lets nobody in publishes what the gateway would have', async () => {
  const virtual = postgresVersion >= 18 ? 'virtual' : 'stored'
  await server.sql(`create table p.whole (id int, twice int generated always as (id * 2) stored);
    alter table p.whole replica identity full;
    create table p.unsent (id int, twice int generated always as (id * 2) ${virtual});
    alter table p.unsent replica identity full; create table p.bare (id int)`)
  const role = 'reads'
  const named = { publicationName: 'p_entry', schemas: ['p'], tables: [] }
  await server.sql(accessScript({ role, database: 'postgres', ...named }))
  const members = await server.sql(
    `select tablename from pg_publication_tables where pubname = 'p_entry' order by 1`,
  )
  const unsent = postgresVersion >= 18 ? [] : ['unsent']
  expect(members.map(({ tablename }) => tablename)).toEqual(['a', ...unsent, 'whole'])
  const source = sourceOf(server, { name: 'p_entry', connection: { user: role, password: 'r' } })
  const chosen = (await source.discoverTables(['p'])).filter(({ name }) => name.table !== 'bare')
  const found = await source.check(chosen.filter(({ name }) => name.table !== 'unsent'))
  const codes = found.flatMap(({ table, code }) => (table === undefined ? [] : [code]))
  const leftOut = postgresVersion >= 18 ? undefined : 'SOURCE_COLUMN_NOT_CAPTURED'
  expect(codes).toEqual([leftOut, leftOut])
  await server.sql('drop table p.whole, p.unsent, p.bare')
  await source.close()
})

test('against a standby it is for the primary', async () => {
  const control = createControl(parsePostgresOptions(connectionOptions(server, {})))
  const row = { publications: '0', can_create: 't', is_standby: 't', version: '180000' }
  const ofRole = roleFindings(row, 'p', await recogniseService(control))
  await control.close()
  expect(ofRole.at(-1)).toMatchObject({
    code: 'SOURCE_PUBLICATION_MISSING',
    remedy: expect.stringMatching(/^-- On the primary:\nCREATE PUBLICATION .*generated_columns/),
  })
  const source = sourceOf(server, { name: 'p' })
  const [table] = await source.discoverTables(['p'])
  await source.close()
  if (table === undefined) throw new Error('no table')
  const plan = { name: 'p', publishes: 'everything', role: 'r', tableCount: 1 } as const
  const findings = publicationFindings([{ table, problem: undefined, isUnready: false }], {
    ...plan,
    serverVersion: 160_000,
    isStandby: true,
    isMadeBefore: true,
  })
  expect(findings).toMatchObject([
    { remedy: expect.stringMatching(/^-- On the primary:\nALTER PUBLICATION "p" ADD TABLE ONLY/) },
  ])
})

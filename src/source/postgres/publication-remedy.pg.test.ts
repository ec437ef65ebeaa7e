/** What `check` prints about a publication can be run by whom the pages name, and is enough. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { roleFindings } from './prerequisites-role.ts'
import { publicationFindings } from './publication-finding.ts'
import { recogniseService } from './managed-service.ts'
import { createControl } from './control.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions, sourceOf } from './testing/postgres-fixture.ts'

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
  await server.sql(`create role reads login replication password 'r'; create role owns;
    grant create on database postgres to owns; create schema p authorization owns;
    grant usage on schema p to reads; set role owns;
    create table p.a (id int primary key, twice int generated always as (id * 2) stored);
    grant select on p.a to reads`)
})

afterAll(async () => await server.stop())

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

test('against a standby it is for the primary', async () => {
  const control = createControl(parsePostgresOptions(connectionOptions(server, {})))
  const row = { publications: '0', can_create: 't', is_standby: 't', version: '180000' }
  const ofRole = roleFindings(row, 'p', await recogniseService(control))
  await control.close()
  expect(ofRole.at(-1)).toMatchObject({
    code: 'SOURCE_PUBLICATION_MISSING',
    remedy: expect.stringMatching(/^On the primary: CREATE PUBLICATION .*generated_columns/),
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
    { remedy: expect.stringMatching(/^On the primary: ALTER PUBLICATION "p" ADD TABLE ONLY/) },
  ])
})

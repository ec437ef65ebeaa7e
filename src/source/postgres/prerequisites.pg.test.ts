import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { Finding } from '../finding.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions, sourceOf } from './testing/postgres-fixture.ts'
import { WireConnection } from './wire/wire-connection.ts'

let server: EmbeddedPostgres
/** Replication impossible. */
let replica: EmbeddedPostgres

beforeAll(async () => {
  const running = [
    startEmbeddedPostgres({ settings: { max_prepared_transactions: '2' } }),
    startEmbeddedPostgres({
      settings: {
        wal_level: 'replica',
        max_slot_wal_keep_size: '64MB',
        max_replication_slots: '1',
      },
    }),
  ] as const
  ;[server, replica] = await Promise.all(running)
})

afterAll(async () => await Promise.all([server.stop(), replica.stop()]))

function problems(findings: readonly Finding[]): unknown[] {
  for (const finding of findings) {
    expect(finding.message).not.toBe('')
    if (finding.severity !== 'ok') expect(finding.remedy).toBeTruthy()
  }
  return findings
    .filter(({ severity }) => severity !== 'ok')
    .map(({ severity, code, subject, table }) => [severity, code, table ?? subject])
}

/** Works, but has no chunks. */
const oldVersion =
  postgresVersion < 14 ? [['warning', 'SOURCE_VERSION_UNSUPPORTED', 'server version']] : []

describe('check() of a server', () => {
  test('finds a good one good, and says that its log is not limited', async () => {
    const source = sourceOf(server, { name: 'good' })
    expect(problems(await source.check(undefined))).toEqual([
      ...oldVersion,
      ['warning', 'SOURCE_LOG_RETENTION', 'max_slot_wal_keep_size'],
    ])
    await source.close()
  })

  test('names everything that is wrong at once', async () => {
    await replica.sql("create role weak login password 'weak'")
    await replica.sql("select pg_create_physical_replication_slot('other')")
    const source = sourceOf(replica, {
      name: 'bad',
      connection: { user: 'weak', password: 'weak' },
    })
    expect(problems(await source.check(undefined))).toEqual([
      ...oldVersion,
      ['error', 'SOURCE_WAL_LEVEL', 'wal_level'],
      ['error', 'SOURCE_NO_FREE_SLOT', 'max_replication_slots'],
      ['error', 'SOURCE_REPLICATION_DENIED', 'replication'],
      ['error', 'SOURCE_PUBLICATION_MISSING', 'publication'],
      ['warning', 'SOURCE_LOG_RETENTION', 'max_slot_wal_keep_size'],
    ])
    await source.close()
  })

  const idle = async (): Promise<void> => {
    await server.sql("alter system set idle_replication_slot_timeout = '1h'")
    await server.sql('select pg_reload_conf()')
    const source = sourceOf(server, { name: 'good' })
    const find = async (): Promise<unknown[]> =>
      problems(await source.check(undefined)).filter(
        (one) => (one as string[])[2] === 'idle_replication_slot_timeout',
      )
    await expect
      .poll(find)
      .toEqual([['warning', 'SOURCE_LOG_RETENTION', 'idle_replication_slot_timeout']])
    await server.sql('alter system reset idle_replication_slot_timeout')
    await server.sql('select pg_reload_conf()')
    await expect.poll(find).toEqual([])
    await source.close()
  }
  // Servers before 18 wait for a reader for ever.
  if (postgresVersion >= 18)
    test('trap: a slot that is dropped when nobody reads for an hour', idle)

  test('reports a server that cannot be reached or refuses us', async () => {
    const down = sourceOf(server, { name: 'down', connection: { port: '1' } })
    expect(problems(await down.check([]))).toEqual([['error', 'SOURCE_UNREACHABLE', 'connection']])
    const wrong = sourceOf(server, { name: 'wrong', connection: { password: 'no' } })
    expect(problems(await wrong.check([]))).toEqual([
      ['error', 'SOURCE_AUTHENTICATION_FAILED', 'connection'],
    ])
  })

  test('names prepared transactions', async () => {
    await server.sql('create table p1 (id int primary key)')
    await server.sql("begin; insert into p1 values (1); prepare transaction 'it''s'")
    const source = sourceOf(server, { name: 'prepared' })
    const findings = await source.check(undefined)
    expect(problems(findings)).toContainEqual([
      'warning',
      'SOURCE_SLOT_BLOCKED',
      'prepared transactions',
    ])
    const remedy = findings.find(({ code }) => code === 'SOURCE_SLOT_BLOCKED')?.remedy ?? ''
    await server.sql(remedy)
    expect(await server.sql('select 1 from pg_prepared_xacts')).toEqual([])
    await source.close()
  })
})

describe('check() on a managed service', () => {
  // Taken from the documents of the services: their catalogs are played here.
  test.each([
    ['rds', 'role rds_superuser', 'Amazon RDS', 'rds.logical_replication', 'GRANT rds_replication'],
    ['azure', 'role azure_pg_admin', 'Azure', 'flexible-server parameter set', 'ALTER ROLE'],
    [
      'cloudsql',
      'role cloudsqlsuperuser',
      'Cloud SQL',
      'cloudsql.logical_decoding=on',
      'ALTER ROLE',
    ],
    ['alloydb', 'role alloydbsuperuser', 'AlloyDB', 'alloydb.logical_decoding=on', 'ALTER ROLE'],
    ['neon', 'role neon_superuser', 'Neon', 'console', 'ALTER ROLE'],
    ['supabase', 'role supabase_admin', 'Supabase', 'postgres-config', 'ALTER ROLE'],
    [
      'rds by a setting',
      'setting rds.logical_replication',
      'Amazon RDS',
      'rds.logical_rep',
      'GRANT',
    ],
    ['aurora', 'function aurora_version', 'Amazon Aurora', 'cluster-parameter-group', 'GRANT rds'],
  ])('%s is recognised, and remedies are in its words', async (_name, sign, name, wal, grant) => {
    const [kind, what] = sign.split(' ') as [string, string]
    const begin: Record<string, string> = {
      role: `create role ${what}`,
      setting: `alter database postgres set "${what}" = 'off'`,
      function: `create function ${what}() returns text language sql as 'select ''x'''`,
    }
    const end: Record<string, string> = {
      role: `drop role ${what}`,
      setting: `alter database postgres reset "${what}"`,
      function: `drop function ${what}()`,
    }
    await replica.sql("drop role if exists plain; create role plain login password 'plain'")
    await replica.sql(begin[kind] ?? '')
    const source = sourceOf(replica, {
      name: 'managed',
      connection: { user: 'plain', password: 'plain' },
    })
    const findings = await source.check(undefined)
    await source.close()
    await replica.sql(end[kind] ?? '')
    const of = (code: string): string =>
      findings.find((finding) => finding.code === code)?.remedy ?? ''
    expect(findings.find(({ subject }) => subject === 'service')?.message).toContain(name)
    expect(of('SOURCE_WAL_LEVEL')).toContain(wal)
    expect(of('SOURCE_REPLICATION_DENIED')).toContain(grant)
    expect(of('SOURCE_REPLICATION_DENIED')).toContain('"plain"')
    expect(JSON.stringify(findings)).not.toContain('ALTER SYSTEM')
  })

  test('membership in rds_replication is the right to replicate', async () => {
    await replica.sql(`create role rds_replication; create role member login password 'm' inherit;
      grant rds_replication to member`)
    const source = sourceOf(replica, { name: 'm', connection: { user: 'member', password: 'm' } })
    const codes = (await source.check(undefined)).map(({ code }) => code)
    expect(codes).not.toContain('SOURCE_REPLICATION_DENIED')
    await source.close()
    await replica.sql('drop role member; drop role rds_replication')
  })
})

describe('check() of the way in', () => {
  const wayIn = async (user: string, password: string): Promise<readonly Finding[]> => {
    const source = sourceOf(server, { name: 'way_in', connection: { user, password } })
    const findings = await source.check(undefined)
    await source.close()
    return findings.filter(({ severity }) => severity === 'error')
  }

  test('a role without CONNECT, and the statement that mends it', async () => {
    await server.sql(`create role outsider login replication password 'o';
      revoke connect on database postgres from public`)
    const [finding, ...more] = await wayIn('outsider', 'o')
    expect(more).toEqual([])
    expect(finding).toMatchObject({
      code: 'SOURCE_PERMISSION_DENIED',
      remedy: 'GRANT CONNECT ON DATABASE "postgres" TO "outsider";',
    })
    await server.sql(finding?.remedy ?? '')
    expect((await wayIn('outsider', 'o')).map(({ code }) => code)).toEqual([
      'SOURCE_PUBLICATION_MISSING',
    ])
    await server.sql('grant connect on database postgres to public')
  })

  test('a role that may not log in, or has another password', async () => {
    await server.sql("create role sleeper password 's'")
    const [nologin] = await wayIn('sleeper', 's')
    expect(nologin?.code).toBe('SOURCE_AUTHENTICATION_FAILED')
    expect(nologin?.remedy).toContain('ALTER ROLE "sleeper" LOGIN')
    const [wrong] = await wayIn('outsider', 'no')
    expect(wrong?.remedy).toContain('ALTER ROLE "outsider" PASSWORD')
  })

  test('a replication session is refused to a role without the right, and it is named', async () => {
    await server.sql("create role reader login password 'r'")
    const options = parsePostgresOptions(
      connectionOptions(server, { user: 'reader', password: 'r' }),
    )
    await expect(WireConnection.open(options, { isReplication: true })).rejects.toMatchObject({
      code: 'SOURCE_REPLICATION_DENIED',
      remedy: 'ALTER ROLE "reader" REPLICATION;',
    })
  })
})

describe('check() of tables', () => {
  test('one statement grants all that is missing, to columns too', async () => {
    await server.sql(`create role asker login replication password 'a'; create schema "G 1"; create schema g2;
      create table "G 1".a (id int primary key, b int); create table "G 1"."b ""q" (id int primary key);
      create table g2.c (id int primary key, secret text, other text);
      create table g2.fine (id int primary key);
      grant usage on schema g2 to asker; grant select (id) on g2.c to asker; grant select on g2.fine to asker;
      create publication asked for table "G 1".a, "G 1"."b ""q", g2.c, g2.fine`)
    const connection = { user: 'asker', password: 'a' }
    const source = sourceOf(server, { name: 'asked', connection })
    const tables = await source.discoverTables(['G 1', 'g2'])
    const findings = await source.check(tables)
    const all = findings.find(({ subject }) => subject === 'privileges')
    expect(all?.message).toContain('3 of 4 tables')
    expect(all?.message).toContain('g2.c (its columns secret, other)')
    expect(all?.tables).toEqual(['G 1.a', 'G 1.b "q', 'g2.c'])
    expect(all?.remedy).toBe(
      'GRANT USAGE ON SCHEMA "G 1" TO "asker"; GRANT SELECT ON TABLE "G 1"."a", "G 1"."b ""q", "g2"."c" TO "asker";',
    )
    // No table says it again.
    expect(findings.filter(({ code }) => code === 'SOURCE_PERMISSION_DENIED')).toEqual([all])
    await server.sql(all?.remedy ?? '')
    const left = await source.check(tables)
    expect(problems(left.filter(({ severity }) => severity === 'error'))).toEqual([])
    await source.close()
  })

  test('has a finding for each, and its remedies mend what they say', async () => {
    await server.sql(`create schema z;
      create table z.good (id int primary key);
      create table z.keyless (id int not null);
      create table z.nothing (id int primary key);
      alter table z.nothing replica identity nothing;
      create table z.by_index (a int not null, b int not null);
      create unique index by_index_ab on z.by_index (b, a);
      alter table z.by_index replica identity using index by_index_ab;
      create table z.deferred (id int primary key deferrable);
      create table z.deferred_full ("A b" int, id int, primary key (id, "A b") deferrable);
      alter table z.deferred_full replica identity full;
      create unlogged table z.unlogged (id int primary key);
      create table z.parent (id int primary key) partition by range (id);
      create table z.leaf partition of z.parent default;
      create table z.generated (id int primary key,
        twice int generated always as (id * 2) ${postgresVersion >= 18 ? 'virtual' : 'stored'});
      create table z.clash (id int primary key, "ID" int);
      create table z.named (what regclass primary key);
      create table z."odd ""name" (id int primary key)`)
    const source = sourceOf(server, { name: 'tables' })
    const tables = await source.discoverTables(['z'])
    expect(tables.find(({ name }) => name.table === 'by_index')?.schema.key).toEqual(['b', 'a'])
    const findings = await source.check(tables)
    const ofTables = findings.filter(({ table }) => table !== undefined)
    expect(new Set(ofTables.map(({ table }) => table)).size).toBe(tables.length)
    expect(problems(ofTables)).toEqual([
      ['error', 'SOURCE_COLUMN_NAMES_CLASH', 'z.clash'],
      ['error', 'SOURCE_TABLE_WITHOUT_KEY', 'z.deferred'],
      ['warning', 'SOURCE_COLUMN_NOT_CAPTURED', 'z.generated'],
      ['error', 'SOURCE_TABLE_WITHOUT_KEY', 'z.keyless'],
      ['error', 'SOURCE_PARTITION_TWICE', 'z.leaf'],
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'z.named'],
      ['error', 'SOURCE_REPLICA_IDENTITY', 'z.nothing'],
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'z.unlogged'],
    ])
    for (const { severity, remedy, table } of ofTables) {
      // Which of the two to leave out is for a person to say.
      if (severity === 'error' && table !== 'z.leaf') await server.sql(remedy ?? '')
    }
    const deferred = (await source.discoverTables(['z'])).filter(({ name }) =>
      name.table.startsWith('def'),
    )
    // With identity full a key that is checked late is none: its rows are known by all their cells.
    expect(deferred.map(({ schema }) => [schema.key, schema.identity])).toEqual([
      [['id'], undefined],
      [[], 'full-row'],
    ])
    const mended = await source.check(await source.discoverTables(['z']))
    expect(problems(mended.filter(({ severity, table }) => severity === 'error' && table))).toEqual(
      [['error', 'SOURCE_PARTITION_TWICE', 'z.leaf']],
    )
    await source.close()
  })

  test('trap: publishing a table without an identity, as a remedy would, stops its application', async () => {
    await server.sql(`create role seeker login replication password 'seeker';
      create schema k; grant usage on schema k to seeker;
      create table k.keyless (id int); insert into k.keyless values (1);
      create table k.nothing (id int primary key); insert into k.nothing values (1);
      alter table k.nothing replica identity nothing;
      create table k.parted (id int primary key) partition by range (id);
      create table k.leaf partition of k.parted default; insert into k.parted values (1);
      alter table k.leaf replica identity nothing;
      grant select on all tables in schema k to seeker`)
    const connection = { user: 'seeker', password: 'seeker' }
    const source = sourceOf(server, { name: 'seeker', connection })
    const tables = (await source.discoverTables(['k'])).filter(({ partOf }) => partOf === undefined)
    const findings = await source.check(tables)
    const unpublished = findings.filter(({ code }) => code === 'SOURCE_PUBLICATION_INCOMPLETE')
    expect(unpublished.map((finding) => finding.tables)).toEqual([
      ['k.keyless', 'k.nothing', 'k.parted'],
    ])
    const made = findings.filter(({ code }) => code === 'SOURCE_PUBLICATION_MISSING')
    for (const { remedy } of [...made, ...unpublished]) await server.sql(remedy ?? '')
    for (const table of ['keyless', 'nothing', 'parted']) {
      expect(await server.sql(`update k.${table} set id = 2 returning id`)).toEqual([{ id: 2 }])
    }
    await source.close()
  })

  test('trap: changes of unlogged and foreign tables are not in the log of this server', async () => {
    await server.sql(`create foreign data wrapper nowhere; create server far foreign data wrapper nowhere;
      create schema u; create foreign table u.far (id int) server far;
      create unlogged table u.unlogged (id int primary key)`)
    const source = sourceOf(server, { name: 'unlogged' })
    const findings = await source.check(await source.discoverTables(['u']))
    expect(problems(findings.filter(({ table }) => table !== undefined))).toEqual([
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'u.far'],
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'u.unlogged'],
    ])
    await source.close()
  })

  test('finds missing privileges, and granting what it says is enough', async () => {
    await server.sql(`create role limited login replication password 'limited';
      create schema l; create table l.t (id int primary key); create table l.hidden (id int primary key);
      alter table l.hidden enable row level security; create table l.veiled (id int primary key);
      alter table l.veiled enable row level security`)
    const connection = { user: 'limited', password: 'limited' }
    const source = sourceOf(server, { name: 'limited', connection })
    const tables = await source.discoverTables(['l'])
    const findings = await source.check(tables)
    expect(problems(findings.filter(({ table }) => table !== undefined))).toEqual([])
    const several = findings.filter((finding) => finding.tables !== undefined)
    expect(several.map(({ subject, tables: all }) => [subject, all])).toEqual([
      ['privileges', ['l.hidden', 'l.t', 'l.veiled']],
      ['row-level security', ['l.hidden', 'l.veiled']],
      ['publication', ['l.hidden', 'l.t', 'l.veiled']],
    ])
    expect(several.map(({ message }) => message.split(':')[0])).toEqual([
      'Role "limited" may not read 3 of 3 tables',
      'Row-level security applies to role "limited" in 2 of 3 tables',
      expect.stringMatching(/^3 of 3 tables are not in publication "\w+", and role "limited" may/),
    ])
    expect(several[2]?.remedy).toMatch(
      /^ALTER PUBLICATION "\w+" ADD TABLE ONLY "l"."hidden", ONLY "l"."t", ONLY "l"."veiled";$/,
    )
    // A single one is told of by its own name, and by one statement.
    const one = (await source.check(tables.slice(1, 2))).filter(({ table }) => table !== undefined)
    expect(problems(one)).toEqual([
      ['error', 'SOURCE_PERMISSION_DENIED', 'l.t'],
      ['error', 'SOURCE_PUBLICATION_INCOMPLETE', 'l.t'],
    ])
    expect(one[0]?.remedy).toBe(
      'GRANT USAGE ON SCHEMA "l" TO "limited"; GRANT SELECT ON TABLE "l"."t" TO "limited";',
    )
    for (const { severity, remedy } of findings) {
      if (severity === 'error') await server.sql(remedy ?? '')
    }
    expect(
      problems((await source.check(tables)).filter(({ table }) => table !== undefined)),
    ).toEqual([])
    const gone = tables.map((table) => ({ ...table, id: '1' as typeof table.id })).slice(0, 1)
    expect(problems((await source.check(gone)).filter(({ table }) => table !== undefined))).toEqual(
      [['error', 'SOURCE_TABLE_MISSING', 'l.hidden']],
    )
    await source.close()
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { Finding } from '../finding.ts'
import { sourceOf } from './testing/postgres-fixture.ts'

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

describe('check() of tables', () => {
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
      create table z.generated (id int primary key, twice int generated always as (id * 2) stored);
      create table z.clash (id int primary key, "ID" int);
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
      ['error', 'SOURCE_TABLE_WITHOUT_KEY', 'z.deferred_full'],
      ['warning', 'SOURCE_COLUMN_NOT_CAPTURED', 'z.generated'],
      ['error', 'SOURCE_TABLE_WITHOUT_KEY', 'z.keyless'],
      ['error', 'SOURCE_REPLICA_IDENTITY', 'z.nothing'],
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'z.parent'],
      ['error', 'SOURCE_TABLE_UNSUPPORTED', 'z.unlogged'],
    ])
    for (const { severity, remedy, table } of ofTables) {
      // Which of its partitions to choose is for a person to say.
      if (severity === 'error' && table !== 'z.parent') await server.sql(remedy ?? '')
    }
    const deferred = (await source.discoverTables(['z'])).filter(({ name }) =>
      name.table.startsWith('def'),
    )
    expect(deferred.map(({ schema }) => schema.key)).toEqual([['id'], ['id', 'A b']])
    const mended = await source.check(await source.discoverTables(['z']))
    expect(problems(mended.filter(({ severity, table }) => severity === 'error' && table))).toEqual(
      [['error', 'SOURCE_TABLE_UNSUPPORTED', 'z.parent']],
    )
    await source.close()
  })

  test('finds missing privileges, and granting what it says is enough', async () => {
    await server.sql(`create role limited login replication password 'limited';
      create schema l; create table l.t (id int primary key); create table l.hidden (id int primary key);
      alter table l.hidden enable row level security`)
    const connection = { user: 'limited', password: 'limited' }
    const source = sourceOf(server, { name: 'limited', connection })
    const tables = await source.discoverTables(['l'])
    const findings = await source.check(tables)
    expect(problems(findings.filter(({ table }) => table !== undefined))).toEqual([
      ['error', 'SOURCE_PERMISSION_DENIED', 'l.hidden'],
      ['error', 'SOURCE_PERMISSION_DENIED', 'l.hidden'],
      ['error', 'SOURCE_ROW_SECURITY', 'l.hidden'],
      ['error', 'SOURCE_PUBLICATION_INCOMPLETE', 'l.hidden'],
      ['error', 'SOURCE_PERMISSION_DENIED', 'l.t'],
      ['error', 'SOURCE_PERMISSION_DENIED', 'l.t'],
      ['error', 'SOURCE_PUBLICATION_INCOMPLETE', 'l.t'],
    ])
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

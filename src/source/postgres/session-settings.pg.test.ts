/** Our settings hold in every kind of session, whatever a role, a database or a pooler makes of them. */
import { describe, expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { openControl } from './connect.ts'
import { parsePostgresOptions, sessionSettings } from './connection-options.ts'
import {
  copiedRows,
  connectionOptions,
  sourceOf,
  startStream,
  tableNamed,
} from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { WireConnection } from './wire/wire-connection.ts'

const server = serverForTests()

const hostile: Readonly<Record<string, string>> = {
  statement_timeout: '1',
  lock_timeout: '1',
  idle_in_transaction_session_timeout: '1',
  default_transaction_read_only: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_deferrable: 'on',
  row_security: 'on',
  DateStyle: 'SQL, DMY',
  IntervalStyle: 'sql_standard',
  TimeZone: 'Asia/Kathmandu',
  bytea_output: 'escape',
  extra_float_digits: '-3',
  client_encoding: 'SQL_ASCII',
  search_path: 'evil, pg_catalog',
  standard_conforming_strings: 'off',
  quote_all_identifiers: 'on',
  xmlbinary: 'hex',
  xmloption: 'document',
  jit: 'on',
  synchronous_commit: 'off',
  ...(postgresVersion >= 14 ? { idle_session_timeout: '300' } : {}),
  ...(postgresVersion >= 17 ? { transaction_timeout: '300' } : {}),
}

test('trap: settings of the role change what is read', async () => {
  await server.sql(`create role twisted login superuser password 't'; create schema evil;
    create function evil.pg_is_in_recovery() returns bool language sql as 'select true';
    create function evil.current_setting(text) returns text language sql as 'select ''evil''';
    create view evil.pg_class as select * from pg_catalog.pg_class where false;
    create view evil.pg_stat_activity as select * from pg_catalog.pg_stat_activity where false;
    create function evil.eq(name, name) returns bool language sql as 'select false';
    create operator evil.= (leftarg = name, rightarg = name, function = evil.eq);
    create table twisted_table (id int primary key, length interval)`)
  for (const [name, value] of Object.entries(hostile)) {
    const list = name === 'search_path' ? value : `'${value}'`
    await server.sql(`alter role twisted set ${name} = ${list}`)
  }
  const options = parsePostgresOptions(
    connectionOptions(server, { user: 'twisted', password: 't' }),
  )
  const names = Object.keys(hostile)
  const sql = `select ${names.map((name) => `current_setting('${name}')`).join()}`
  const expected = names.map((name) => {
    if (name === 'lock_timeout') return '30s'
    if (name.endsWith('timeout')) return '0'
    return name === 'default_transaction_read_only' ? 'off' : sessionSettings[name]
  })
  for (const isReplication of [false, true]) {
    const connection = await WireConnection.open(options, { isReplication })
    expect(connection.server.isStandby).toBe(false)
    expect((await connection.query(sql))[0]).toEqual(expected)
    await connection.query('select pg_sleep(0.4)')
    await new Promise((resolve) => setTimeout(resolve, 400))
    await connection.query('create temp table written (id int)')
    connection.close()
  }
  const control = await openControl(options)
  expect(Object.values((await control.query(`${sql} where $1 = 1`, ['1']))[0] ?? {})).toHaveLength(
    1,
  )
  const rows = await control.query(
    `select ${names.map((name, place) => `current_setting('${name}') as c${place}`).join()} where $1 = 1`,
    ['1'],
  )
  expect(Object.values(rows[0] ?? {})).toEqual(expected)
  expect(await control.query("select 1 as one from pg_class where relname = 'pg_proc'")).toEqual([
    { one: '1' },
  ])
  await control.close()
})

test('the whole of a source works for such a role', async () => {
  const connection = { user: 'twisted', password: 't' }
  const source = sourceOf(server, { name: 'twisted', connection })
  expect((await source.check(undefined)).filter(({ severity }) => severity === 'error')).toEqual([])
  const table = await tableNamed(source, 'twisted_table')
  const state = await source.prepare([table], undefined)
  const stream = startStream({ source, state, tables: [table] })
  await server.sql("insert into twisted_table values (2, '1 year 2 days')")
  await stream.until(() => stream.sink.transactions.length === 1)
  expect(stream.sink.transactions[0]?.rows[0]?.cells).toEqual(['2', '1 year 2 days'])
  await stream.stop()
  await source.dispose()
  await source.close()
})

describe('trap: a pooler swallows settings', () => {
  /** Stands in a start-up packet for a name of the same length that means nothing. */
  const swallowing = (name: string) => (first: Buffer) =>
    Buffer.from(first.toString('latin1').replace(`\0${name}\0`, `\0x.${name.slice(2)}\0`), 'latin1')

  test.each([
    'row_security',
    'DateStyle',
    'IntervalStyle',
    'search_path',
    'bytea_output',
    'TimeZone',
    'extra_float_digits',
    'client_encoding',
    'quote_all_identifiers',
  ])('a session without our %s is refused', async (name) => {
    await server.sql(
      `create role r_${name} login superuser password 'r'; alter role r_${name} set ${name} = '${hostile[name] ?? ''}'`,
    )
    const role = { user: `r_${name}`.toLowerCase(), password: 'r' }
    const proxy = await startProxy(server, { rewrite: swallowing(name) })
    const options = parsePostgresOptions(
      connectionOptions(server, { ...role, port: String(proxy.port) }),
    )
    const expected = { code: 'SOURCE_POOLER', message: expect.stringContaining(name) }
    await expect(WireConnection.open(options)).rejects.toMatchObject(expected)
    await expect(openControl(options)).rejects.toMatchObject(expected)
    await proxy.close()
  })
})

describe('trap: row-level security filters a copy', () => {
  test('a copy and a count under a policy fail loudly', async () => {
    await server.sql(`create role filtered login replication password 'f';
      create table policed (id int primary key, mine bool); insert into policed values (1, true), (2, false);
      alter table policed enable row level security;
      create policy only_mine on policed for select to filtered using (mine);
      grant select on policed to filtered; grant create on database postgres to filtered`)
    const connection = { user: 'filtered', password: 'f' }
    const source = sourceOf(server, { name: 'filtered', connection })
    const [finding] = (await source.check([await tableNamed(source, 'policed')])).filter(
      ({ code }) => code === 'SOURCE_ROW_SECURITY',
    )
    expect(finding).toMatchObject({ severity: 'error', table: 'public.policed' })
    const options = parsePostgresOptions(connectionOptions(server, connection))
    for (const sql of ['copy public.policed to stdout', 'select count(*) from public.policed']) {
      const wire = await WireConnection.open(options)
      await expect(wire.query(sql)).rejects.toMatchObject({ code: 'SOURCE_PERMISSION_DENIED' })
      wire.close()
    }
    await server.sql(finding?.remedy ?? '')
    const wire = await WireConnection.open(options)
    expect(await wire.query('select count(*) from public.policed')).toEqual([['2']])
    wire.close()
    await source.close()
  })
})

describe('encodings', () => {
  async function bothWays(database: string, insert: string): Promise<readonly unknown[]> {
    const source = sourceOf(server, { name: `enc_${database}`, connection: { database } })
    const [table] = await source.discoverTables(['public'])
    if (table === undefined) throw new Error('no table')
    const state = await source.prepare([table], undefined)
    const stream = startStream({ source, state, tables: [table] })
    try {
      const copy = await source.beginSnapshot(table, { delivered: [] })
      const copied = await copiedRows(copy, table)
      await server.sql(insert, database)
      await Promise.race([stream.until(() => stream.sink.transactions.length === 1), stream.ended])
      return [copied[0]?.cells[1], stream.sink.transactions[0]?.rows[0]?.cells[1]]
    } finally {
      await stream.stop().catch(() => undefined)
      await source.dispose()
      await source.close()
    }
  }

  test('trap: LATIN1 arrives as UTF8, copied and streamed', async () => {
    await server.sql(
      `create database latin encoding 'LATIN1' template template0 lc_collate 'C' lc_ctype 'C'`,
    )
    await server.sql(
      `create table "caf\u00e9" (id int primary key, t text); insert into "caf\u00e9" values (1, '\u00e9\u00ff\u00a3')`,
      'latin',
    )
    const cells = await bothWays(
      'latin',
      `insert into "caf\u00e9" values (2, '\u00e9\u00ff\u00a3')`,
    )
    expect(cells).toEqual(['\u00e9\u00ff\u00a3', '\u00e9\u00ff\u00a3'])
  })

  test('trap: SQL_ASCII arrives where it is UTF8, and is refused where it is not', async () => {
    await server.sql(
      `create database ascii encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'`,
    )
    const row = (id: number, text: string): string =>
      `insert into t values (${id}, convert_from('${text}', 'SQL_ASCII'))`
    await server.sql(`create table t (id int primary key, t text); ${row(1, '\\xc3a9')}`, 'ascii')
    expect(await bothWays('ascii', row(2, '\\xc3a9'))).toEqual(['\u00e9', '\u00e9'])
    const refused = { code: 'SOURCE_ENCODING' }
    await expect(bothWays('ascii', row(3, '\\xe9'))).rejects.toMatchObject(refused)
    const source = sourceOf(server, { name: 'ascii', connection: { database: 'ascii' } })
    expect(await source.check(undefined)).toContainEqual(
      expect.objectContaining({ code: 'SOURCE_ENCODING', severity: 'warning' }),
    )
    await source.close()
    // Now the row is in the table, so the copy meets it first.
    await expect(bothWays('ascii', row(4, 'a'))).rejects.toMatchObject(refused)
  })
})

import { describe, expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Position, SourceState } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import { fromPosition } from './position.ts'
import type { PostgresSource } from './postgres-source.ts'
import { placeOf, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests()

const never = new AbortController().signal

interface Prepared {
  readonly source: PostgresSource
  readonly state: SourceState
  readonly tables: readonly [SourceTable, SourceTable]
}

/** Two tables, published. */
async function prepared(name: string): Promise<Prepared> {
  await server.sql(`create table ${name}_a (id int primary key, t text)`)
  await server.sql(`create table ${name}_b (id int primary key)`)
  const source = sourceOf(server, { name })
  const tables = [
    await tableNamed(source, `${name}_a`),
    await tableNamed(source, `${name}_b`),
  ] as const
  const state = await source.prepare(tables, undefined)
  return { source, state, tables }
}

async function end({ source }: Prepared): Promise<void> {
  await source.dispose()
  await source.close()
}

/** Gaps that a stream from `state` is told of. */
async function gapsFrom(
  { source, tables }: Prepared,
  state: SourceState,
): Promise<readonly string[]> {
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  return sink.gaps.map(({ table }) => table)
}

/** Row filters and column lists exist since 15. */
const hasFilters = postgresVersion >= 15

type Change = readonly [string, (name: string) => string, number]

describe('trap: a publication changed while nobody read', () => {
  const filters: readonly Change[] = [
    [
      'a row filter',
      (n: string) => `alter publication ${n} set table ${n}_a where (id > 5), ${n}_b`,
      1,
    ],
    ['a column list', (n: string) => `alter publication ${n} set table ${n}_a (id), ${n}_b`, 1],
  ]
  const changes: readonly Change[] = [
    ...(hasFilters ? filters : []),
    ['a table removed', (n: string) => `alter publication ${n} drop table ${n}_a`, 1],
    [
      'a table removed and added again',
      (n: string) =>
        `alter publication ${n} drop table ${n}_a; alter publication ${n} add table ${n}_a`,
      1,
    ],
    ['an operation left out', (n: string) => `alter publication ${n} set (publish = 'insert')`, 2],
    [
      'an operation left out for a while',
      (n: string) =>
        `alter publication ${n} set (publish = 'insert'); alter publication ${n} set (publish = 'insert, update, delete, truncate')`,
      2,
    ],
    [
      'dropped and made anew',
      (n: string) => `drop publication ${n}; create publication ${n} for table ${n}_a, ${n}_b`,
      2,
    ],
    ['dropped', (n: string) => `drop publication ${n}`, 2],
  ]
  test.each(changes)(
    '%s is a gap, told again until a later position is kept',
    async (_name, change, count) => {
      const name = `w${Math.floor(performance.now() * 1000)}`
      const all = await prepared(name)
      const { source, state, tables } = all
      expect(await gapsFrom(all, await source.prepare(tables, state))).toEqual([])
      await server.sql(change(name))
      const changed = await source.prepare(tables, state)
      const expected = tables.slice(0, count).map(({ id }) => id)
      expect(await gapsFrom(all, changed)).toEqual(expected)
      // Cut off before anything was kept: told again.
      const again = await source.prepare(tables, changed)
      expect(await gapsFrom(all, again)).toEqual(expected)
      const position = await source.currentPosition()
      const kept = await source.prepare(tables, { ...again, position })
      expect(await gapsFrom(all, kept)).toEqual([])
      // What we made we repair: both tables are published whole again.
      await server.sql(`insert into ${name}_a values (1, 'x'); insert into ${name}_b values (2)`)
      const sink = new RecordingSink()
      const until = await source.currentPosition()
      await source.streamChanges({ from: kept.position, until, tables, sink, signal: never })
      const ids = sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))
      expect(ids).toEqual(['1', '2'])
      await end(all)
    },
  )
})

test('trap: changes while there was no publication are a gap, and do not stop reading for ever', async () => {
  const all = await prepared('hole')
  const { source, state, tables } = all
  await server.sql('drop publication hole')
  await server.sql(`insert into hole_a values (1, 'unpublished')`)
  const { position } = await source.prepare(tables, state)
  await server.sql(`insert into hole_a values (2, 'published')`)
  const gaps = new Set<string>()
  const until = await source.currentPosition()
  let outcome = 'renew'
  for (let round = 0; outcome === 'renew' && round < 3; round++) {
    // What a stream brought that could not go on is left out with it.
    const sink = new RecordingSink()
    outcome = await source.streamChanges({ from: position, until, tables, sink, signal: never })
    for (const { table } of sink.gaps) gaps.add(table)
    if (outcome === 'ended') expect(placeOf(sink.heartbeats.at(-1))).toBe(until)
  }
  expect(outcome).toBe('ended')
  expect([...gaps].toSorted()).toEqual(tables.map(({ id }) => id as string).toSorted())
  await server.sql(`insert into hole_a values (3, 'followed')`)
  const sink = new RecordingSink()
  const now = await source.currentPosition()
  await source.streamChanges({ from: until, until: now, tables, sink, signal: never })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['3'])
  await end(all)
})

test('trap: a change while streaming is noticed by the watch', async () => {
  const all = await prepared('live')
  const watching = sourceOf(server, { name: 'live', watchIntervalMs: 20 })
  const state = await watching.prepare(all.tables, all.state)
  const stream = startStream({ source: watching, state, tables: all.tables })
  await stream.reach(await watching.currentPosition())
  await server.sql('alter publication live drop table live_b')
  await stream.until(() => stream.sink.gaps.length > 0)
  expect(stream.sink.gaps.map(({ table }) => table)).toEqual([all.tables[1].id])
  // It is told as soon as it is seen, and mended then.
  const published =
    "select from pg_publication_tables where pubname = 'live' and tablename = 'live_b'"
  while ((await server.sql(published)).length === 0);
  await server.sql('insert into live_b values (1)')
  await stream.reach(await watching.currentPosition())
  expect(stream.sink.transactions.flatMap(({ rows }) => rows)).toHaveLength(1)
  await stream.stop()
  await watching.close()
  await end(all)
})

test('trap: the slot is made after the publication, or what comes between is skipped', async () => {
  await server.sql(`create table made (lsn pg_lsn);
    create function note_made() returns event_trigger language plpgsql as
      'begin insert into public.made values (pg_catalog.pg_current_wal_insert_lsn()); end';
    create event trigger note_made on ddl_command_end
      when tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION') execute function note_made()`)
  const all = await prepared('order')
  await server.sql('drop event trigger note_made')
  const [row] = await server.sql('select max(lsn)::text as lsn, count(*)::int as count from made')
  expect(row?.['count']).toBeGreaterThan(1)
  const made = String(row?.['lsn']) as Position
  expect(fromPosition(all.state.position)).toBeGreaterThan(fromPosition(made))
  await end(all)
})

test('trap: rows that came to the source by replication are rows of it too', async () => {
  const all = await prepared('origin')
  const { source, state, tables } = all
  const subscriber = await server.connect()
  await subscriber.query(`select pg_replication_origin_create('far')`)
  await subscriber.query(`select pg_replication_origin_session_setup('far')`)
  await subscriber.query('insert into origin_b values (1)')
  await subscriber.end()
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['1'])
  await server.sql(`select pg_replication_origin_drop('far')`)
  await end(all)
})

test('adding a table is no gap for the others, and a new table has none', async () => {
  const all = await prepared('grow')
  const { source, state, tables } = all
  await server.sql('create table grow_c (id int primary key)')
  const more = [...tables, await tableNamed(source, 'grow_c')]
  const grown = await source.prepare(more, state)
  expect(await gapsFrom(all, grown)).toEqual([])
  expect(await gapsFrom(all, await source.prepare(more, grown))).toEqual([])
  await end(all)
})

const homecoming = async (): Promise<void> => {
  await server.sql(`create schema home; create schema away; create table home.a (id int primary key);
    create table home.b (id int primary key); create table home.c (id int primary key)`)
  await server.sql('create publication home for tables in schema home')
  const source = sourceOf(server, { name: 'home' })
  const tables = (await source.discoverTables(['home'])).toSorted((one, other) =>
    one.name.table < other.name.table ? -1 : 1,
  )
  const [a, b, c] = tables
  if (a === undefined || b === undefined || c === undefined) throw new Error('three tables')
  const state = await source.prepare(tables, undefined)
  const leaveAndReturn = (table: string): readonly string[] => [
    `alter table home.${table} set schema away`,
    `insert into away.${table} values (1)`,
    `alter table away.${table} set schema home`,
  ]
  for (const statement of leaveAndReturn('a')) await server.sql(statement)
  await server.sql(`begin; ${leaveAndReturn('b').join('; ')}; commit`)
  await server.sql('alter table home.c add column more int default 7')
  const changed = await source.prepare(tables, state)
  expect(await gapsFrom({ source, state, tables: [a, b] }, changed)).toEqual([a.id, b.id])
  await source.dispose()
  await source.close()
  await server.sql('drop publication home')
}

// Publications of schemas exist since 15 as well.
const homecomingIs =
  'trap: a table that left its schema and came back, published with its schema, is a gap'
if (hasFilters) test(homecomingIs, homecoming)

describe('trap: a publication of somebody else', () => {
  const limited = 'is extended where we may, never repaired and never dropped'
  const extendIt = async (): Promise<void> => {
    await server.sql('create table f1 (id int primary key); create table f2 (id int primary key)')
    await server.sql('create publication f for table f1 where (id > 0)')
    const source = sourceOf(server, { name: 'f' })
    const [f1, f2] = [await tableNamed(source, 'f1'), await tableNamed(source, 'f2')]
    await source.prepare([f1, f2], undefined)
    await (await source.beginSnapshot(f2, { delivered: [] })).close()
    await expect(source.beginSnapshot(f1, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_PUBLICATION_INCOMPLETE',
    })
    const findings = await source.check([f1, f2])
    expect(findings.filter(({ table, code }) => table !== undefined && code !== undefined)).toEqual(
      [expect.objectContaining({ table: 'public.f1', code: 'SOURCE_PUBLICATION_INCOMPLETE' })],
    )
    await source.dispose()
    expect(
      await server.sql("select 1 as one from pg_publication where pubname = 'f'"),
    ).toHaveLength(1)
    await source.close()
  }
  if (hasFilters) test(limited, extendIt)

  test('for all tables publishes every table', async () => {
    await server.sql('create table o1 (id int primary key); create publication o for all tables')
    const source = sourceOf(server, { name: 'o' })
    const tables = [await tableNamed(source, 'o1')]
    const state = await source.prepare(tables, undefined)
    await server.sql('insert into o1 values (1)')
    const sink = new RecordingSink()
    const until = await source.currentPosition()
    await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
    expect(sink.transactions).toHaveLength(1)
    await source.dispose()
    await source.close()
    await server.sql('drop publication o')
  })

  test('that is missing and that we may not make', async () => {
    await server.sql("create role reader login replication password 'reader'")
    await server.sql('create table r1 (id int primary key); grant select on r1 to reader')
    const source = sourceOf(server, {
      name: 'r',
      connection: { user: 'reader', password: 'reader' },
    })
    const tables = [await tableNamed(source, 'r1')]
    await expect(source.prepare(tables, undefined)).rejects.toMatchObject({
      code: 'SOURCE_PUBLICATION_MISSING',
    })
    await server.sql('create publication r for table r1')
    const state = await source.prepare(tables, undefined)
    await server.sql('insert into r1 values (1)')
    const sink = new RecordingSink()
    const until = await source.currentPosition()
    await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
    expect(sink.transactions).toHaveLength(1)
    await source.dispose()
    await source.close()
  })
})

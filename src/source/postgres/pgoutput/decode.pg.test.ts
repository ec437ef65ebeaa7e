/** What a real server sends for the awkward changes, and what becomes of it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type pg from 'pg'
import { absent } from '../../../../test/support/column-values.ts'
import {
  knownTable,
  readChanges,
  readingSettings,
} from '../../../../test/support/postgres-both-ways.ts'
import { recordingSink, type SinkEvent } from '../../../../test/support/recording-sink.ts'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../../test/support/embedded-postgres.ts'

let server: EmbeddedPostgres
let client: pg.Client

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  client = await server.connect()
  await client.query(`${readingSettings}; create publication everything for all tables`)
  await client.query(`select pg_create_logical_replication_slot('changes', 'pgoutput')`)
})

afterAll(async () => {
  await client.end()
  await server.stop()
})

/** Too long for its page and not compressible: stored out of line. */
const big = (seed: number): string =>
  `(select string_agg(md5((${seed} * 1000 + i)::text), '') from generate_series(1, 400) i)`

interface Scenario {
  readonly table: string
  readonly setup: string
  readonly key: readonly string[]
  readonly statements: readonly string[]
}

/** Events of the statements, each its own transaction, without those that made the table. */
async function eventsOf({ table, setup, key, statements }: Scenario): Promise<SinkEvent[]> {
  await client.query(setup)
  await client.query(`select pg_replication_slot_advance('changes', pg_current_wal_lsn())`)
  for (const statement of statements) await client.query(statement)
  const sink = recordingSink()
  await readChanges(client, 'changes', [await knownTable(client, table, key)], sink)
  expect(sink.openRows()).toBe(0)
  return sink.events
}

async function rowsOf(scenario: Scenario): Promise<unknown[]> {
  const events = await eventsOf(scenario)
  return events.flatMap((event) => (event.kind === 'row' ? [[event.op, ...event.cells]] : []))
}

async function value(expression: string): Promise<string> {
  const { rows } = await client.query<{ v: string }>(`select ${expression} as v`)
  return rows[0]?.v ?? ''
}

test('trap: unchanged TOAST is absent; a change of key is a delete and an insert that lacks it', async () => {
  expect(
    await rowsOf({
      table: 'toasted',
      key: ['id'],
      setup: `create table toasted (id int primary key, n int, body text);
        insert into toasted values (1, 1, ${big(1)})`,
      statements: [
        'update toasted set n = 2',
        'update toasted set id = 5',
        'update toasted set body = null, n = null',
        'delete from toasted',
      ],
    }),
  ).toEqual([
    ['u', 1n, 2n, absent],
    ['d', 1n, absent, absent],
    ['i', 5n, 2n, absent],
    ['u', 5n, null, null],
    ['d', 5n, absent, absent],
  ])
})

test('trap: identity full fills unchanged TOAST from the old image, also in a change of key', async () => {
  const body = await value(big(2))
  expect(
    await rowsOf({
      table: 'full_identity',
      key: ['id'],
      setup: `create table full_identity (id int primary key, n int, body text);
        alter table full_identity replica identity full;
        insert into full_identity values (1, null, ${big(2)})`,
      statements: [
        'update full_identity set n = 2',
        'update full_identity set id = 5',
        'delete from full_identity',
      ],
    }),
  ).toEqual([
    ['u', 1n, 2n, body],
    ['d', 1n, 2n, body],
    ['i', 5n, 2n, body],
    ['d', 5n, 2n, body],
  ])
})

test('trap: identity using index: the key is the index, in its own order', async () => {
  expect(
    await rowsOf({
      table: 'indexed',
      key: ['code', 'part'],
      setup: `create table indexed (id int primary key, part int not null, code text not null, n int);
        create unique index indexed_code on indexed (code, part);
        alter table indexed replica identity using index indexed_code;
        insert into indexed values (1, 1, 'a', 1)`,
      statements: [
        'update indexed set id = 2',
        `update indexed set code = 'b'`,
        'delete from indexed',
      ],
    }),
  ).toEqual([
    ['u', 2n, 1n, 'a', 1n],
    ['d', absent, 1n, 'a', absent],
    ['i', 2n, 1n, 'b', 1n],
    ['d', absent, 1n, 'b', absent],
  ])
})

test('a toasted key that does not change is no change of key', async () => {
  // Longer than the threshold of TOAST, short enough for an index entry.
  const key = `(select string_agg(md5(i::text), '') from generate_series(1, 75) i)`
  const text = await value(key)
  expect(
    await rowsOf({
      table: 'long_key',
      key: ['code', 'id'],
      setup: `create table long_key (code text, id int, n int, primary key (code, id));
        alter table long_key alter code set storage external;
        alter table long_key set (toast_tuple_target = 128);
        insert into long_key values (${key}, 1, 1)`,
      statements: [
        'update long_key set n = 2',
        'update long_key set id = 2',
        'delete from long_key',
      ],
    }),
  ).toEqual([
    ['u', text, 1n, 2n],
    ['d', text, 1n, absent],
    ['i', text, 2n, 2n],
    ['d', text, 2n, absent],
  ])
})

test('one transaction keeps its order, its xid and its time; truncate stands between the rows', async () => {
  const events = await eventsOf({
    table: 'ordered',
    key: ['id'],
    setup: 'create table ordered (id int primary key); create table beside (id int primary key)',
    statements: [
      `begin; insert into ordered select generate_series(1, 3); truncate ordered, beside;
       insert into beside values (1); insert into ordered values (4); commit`,
    ],
  })
  const id = await value(`'ordered'::regclass::oid::text`)
  expect(
    events.map((event) =>
      event.kind === 'row' ? `${event.op} ${String(event.cells[0])}` : event.kind,
    ),
  ).toEqual(['begin', 'i 1', 'i 2', 'i 3', 'truncate', 'i 4', 'commit'])
  expect(events[4]).toEqual({ kind: 'truncate', tables: [id] })
  const { rows } = await client.query<{ xid: string }>('select xmin::text as xid from ordered')
  const begin = events[0]
  expect(begin?.kind === 'begin' && `${begin.xid}`).toBe(rows[0]?.xid)
  const now = BigInt(Date.now()) * 1000n
  expect(begin?.kind === 'begin' && now - begin.commitTimeUs < 600_000_000n).toBe(true)
})

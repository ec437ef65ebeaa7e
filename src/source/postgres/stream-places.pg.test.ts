/** Where a stream may go on, and what must not be taken for such a place; rows of every origin. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { fromPosition } from './position.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

let server: EmbeddedPostgres
let folder: string
const { signal: never } = new AbortController()

beforeAll(async () => {
  const streaming = postgresVersion >= 14 ? { logical_decoding_work_mem: '64kB' } : {}
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', ...streaming } })
  folder = await mkdtemp(join(tmpdir(), 'sluice-places-'))
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})

test('trap: a commit that stands right behind the place where reading goes on', async () => {
  await server.sql('create table p1 (id int primary key)')
  const source = sourceOf(server, { name: 'p1' })
  const tables = [await tableNamed(source, 'p1')]
  const state = await source.prepare(tables, undefined)
  const [first, second] = [await server.connect(), await server.connect()]
  // Now and then something else, or the head of a page, stands between the two.
  for (let attempt = 0; ; attempt += 2) {
    expect(attempt).toBeLessThan(40)
    await first.query(`begin; insert into p1 values (${attempt})`)
    await second.query(`begin; insert into p1 values (${attempt + 1})`)
    await Promise.all([first.query('commit'), second.query('commit')])
    const sink = new RecordingSink()
    const until = await source.currentPosition()
    await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
    const [one, other] = sink.transactions.slice(-2)
    if (one?.position === undefined || other?.position === undefined) throw new Error('not whole')
    if (other.place !== fromPosition(one.position)) continue
    const rest = new RecordingSink()
    await source.streamChanges({ from: one.position, until, tables, sink: rest, signal: never })
    expect(rest.transactions).toEqual([other])
    break
  }
  await Promise.all([first.end(), second.end()])
  await source.dispose()
  await source.close()
})

test('trap: a keepalive in the middle of a transaction is no place to go on from', async () => {
  await server.sql('create table p2 (id int primary key, t text)')
  const source = sourceOf(server, { name: 'p2' })
  const tables = [await tableNamed(source, 'p2')]
  const state = await source.prepare(tables, undefined)
  await server.sql(`insert into p2 select g, repeat('x', 500) from generate_series(1, 20000) g`)
  const until = await source.currentPosition()
  // Long enough to be asked several times how far the server has come; the sink throws otherwise.
  const sink = new RecordingSink()
  let asked = 0
  sink.pressure = () =>
    asked++ % 2 === 0 ? new Promise((resolve) => setTimeout(resolve, 10)) : undefined
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  expect(sink.transactions.map(({ rows }) => rows.length)).toEqual([20_000])
  const place = sink.transactions[0]?.place
  if (place === undefined) throw new Error('no place')
  // Those before it began are fine.
  expect(fromPosition(sink.heartbeats.at(-1) ?? state.position)).toBeGreaterThan(place)
  await source.dispose()
  await source.close()
})

test.each(['', 'sent in progress'])(
  'trap: rows that came to the source by replication are its rows too %s',
  async (how) => {
    const name = how === '' ? 'p3' : 'p4'
    await server.sql(`create table ${name} (id int primary key)`)
    const spool = { folder: join(folder, name), maxBytes: 2 ** 30 }
    const source = sourceOf(server, { name, ...(how === '' ? {} : { spool }) })
    const tables = [await tableNamed(source, name)]
    const state = await source.prepare(tables, undefined)
    const count = how === '' ? 3 : 3000
    await server.sql(`select pg_replication_origin_create('${name}');
      select pg_replication_origin_session_setup('${name}');
      begin; select pg_replication_origin_xact_setup('0/1234', now());
      insert into ${name} select generate_series(1, ${count}); commit;
      select pg_replication_origin_session_reset()`)
    const sink = new RecordingSink()
    const until = await source.currentPosition()
    await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
    expect(sink.transactions.map(({ rows }) => rows.length)).toEqual([count])
    await source.dispose()
    await source.close()
  },
)

test('trap: TRUNCATE … CASCADE empties every table that it reaches', async () => {
  await server.sql(`create table p5_unfollowed (id int primary key);
    create table p5 (id int primary key references p5_unfollowed);
    create table p5_child (id int primary key references p5);
    create table p5_grandchild (id int primary key references p5_child)`)
  const source = sourceOf(server, { name: 'p5' })
  const names = ['p5_grandchild', 'p5', 'p5_child']
  const tables = await Promise.all(names.map((name) => tableNamed(source, name)))
  const state = await source.prepare(tables, undefined)
  await server.sql(`insert into p5_unfollowed values (1); insert into p5 values (1);
    insert into p5_child values (1); insert into p5_grandchild values (1)`)
  await server.sql('truncate p5_unfollowed cascade')
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  const ids = tables.map(({ id }) => id)
  expect(sink.transactions.at(-1)?.truncated.toSorted()).toEqual(ids.toSorted())
  await source.dispose()
  await source.close()
})

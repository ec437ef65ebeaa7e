import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { Position, SourceState } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import { fromPosition } from './position.ts'
import type { PostgresSource } from './postgres-source.ts'
import {
  copiedRows,
  placeOf,
  type RunningStream,
  sourceOf,
  startStream,
  tableNamed,
} from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

/** Servers before 14 send every transaction when it has committed. */
const isStreaming = postgresVersion >= 14

let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  // The least there is: whatever is larger is sent before it commits.
  const settings = {
    autovacuum: 'off',
    logical_decoding_work_mem: '64kB',
    max_prepared_transactions: '5',
  }
  server = await startEmbeddedPostgres({ settings })
  folder = await mkdtemp(join(tmpdir(), 'sluice-spool-'))
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})

interface Course {
  readonly source: PostgresSource
  readonly tables: readonly SourceTable[]
  readonly state: SourceState
  readonly spool: string
}

/** Tables `name` and, when asked for, `name_2`, of (id int primary key, t text). */
async function courseOf(
  name: string,
  more: { maxBytes?: number; tables?: number } = {},
): Promise<Course> {
  const names = [name, `${name}_2`].slice(0, more.tables ?? 1)
  for (const table of names) await server.sql(`create table ${table} (id int primary key, t text)`)
  const spool = join(folder, name)
  const { maxBytes = 2 ** 30 } = more
  const source = sourceOf(server, { name, spool: { folder: spool, maxBytes } })
  const tables = await Promise.all(names.map((table) => tableNamed(source, table)))
  const state = await source.prepare(tables, undefined)
  return { source, tables, state, spool }
}

async function finish({ source }: Course, stream?: RunningStream): Promise<void> {
  await stream?.stop()
  await source.dispose()
  await source.close()
}

const rows = (table: string, first: number, count = 1000): string =>
  `insert into ${table} select g, repeat('x', 100) from generate_series(${first}, ${first + count - 1}) g;`

async function spooledBytes(spool: string): Promise<number> {
  const names = await readdir(spool).catch(() => [])
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(join(spool, name)).catch(() => ({ size: 0 }))).size),
  )
  return sizes.reduce((sum, size) => sum + size, 0)
}

async function waitUntil(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(5)
}

/** More is in the spool than before. */
async function waitForSpool(spool: string, before = 0): Promise<number> {
  if (!isStreaming) return 0
  await waitUntil(async () => (await spooledBytes(spool)) > before)
  return await spooledBytes(spool)
}

/** Ids by transaction, as ranges. */
function idsOf(sink: RecordingSink): string[] {
  return sink.transactions.map(({ rows: recorded }) =>
    rangesOf(recorded.map(({ cells }) => Number(cells[0]))),
  )
}

function rangesOf(ids: readonly number[]): string {
  const ranges: [number, number][] = []
  for (const id of ids) {
    const last = ranges.at(-1)
    if (last !== undefined && last[1] === id - 1) last[1] = id
    else ranges.push([id, id])
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(' ')
}

test('trap: rows of a subtransaction that was rolled back after they were sent never arrive', async () => {
  const course = await courseOf('l1')
  const stream = startStream(course)
  const writer = await server.connect()
  await writer.query(`begin; ${rows('l1', 1)} savepoint a; ${rows('l1', 2001)}`)
  const sent = await waitForSpool(course.spool)
  await writer.query(`savepoint b; ${rows('l1', 3001)} rollback to b; ${rows('l1', 4001)}`)
  await waitForSpool(course.spool, sent)
  await writer.query(`savepoint c; ${rows('l1', 5001)} release c; rollback to a`)
  await writer.query(`${rows('l1', 6001)} savepoint d; ${rows('l1', 7001)} release d; commit`)
  await stream.reach(await course.source.currentPosition())
  expect(idsOf(stream.sink)).toEqual(['1-1000 6001-8000'])
  await writer.end()
  await finish(course, stream)
  expect(await spooledBytes(course.spool)).toBe(0)
})

test('transactions in progress side by side arrive whole, in the order of their commits', async () => {
  const course = await courseOf('l2')
  const stream = startStream(course)
  const clients = await Promise.all([0, 1, 2, 3].map(() => server.connect()))
  const [a, b, c, d] = clients
  await a?.query(`begin; ${rows('l2', 1)}`)
  await b?.query(`begin; ${rows('l2', 10_001)}`)
  await c?.query(`begin; ${rows('l2', 20_001)}`)
  await waitForSpool(course.spool)
  await d?.query("insert into l2 values (99999, 'small')")
  await b?.query(rows('l2', 11_001))
  await a?.query(rows('l2', 1001))
  await b?.query('commit')
  await c?.query(`${rows('l2', 21_001)} rollback`)
  await a?.query(`update l2 set t = 'y' where id <= 2; delete from l2 where id = 3; commit`)
  await stream.reach(await course.source.currentPosition())
  await Promise.all(clients.map((client) => client.end()))
  expect(idsOf(stream.sink).filter((ids) => ids !== '99999')).toEqual(['10001-12000', '1-2000 1-3'])
  expect(
    stream.sink.transactions
      .at(-1)
      ?.rows.slice(-3)
      .map(({ op }) => op),
  ).toEqual(['u', 'u', 'd'])
  const times = stream.sink.transactions.map(({ commitTimeUs }) => commitTimeUs)
  expect(times).toEqual(times.toSorted((one, two) => (one < two ? -1 : 1)))
  await finish(course, stream)
})

test('the id and the position of a transaction sent in progress are those of an ordinary one', async () => {
  const course = await courseOf('l3')
  const writer = await server.connect()
  await writer.query(`begin; savepoint s; ${rows('l3', 1)} release s`)
  const { rows: ids } = await writer.query<{ xid: string }>(
    'select pg_current_xact_id()::text as xid',
  )
  await writer.query('commit')
  await writer.end()
  const until = await course.source.currentPosition()
  const ordinary = sourceOf(server, { name: 'l3' })
  const sinks: RecordingSink[] = []
  for (const source of [course.source, ordinary]) {
    const sink = new RecordingSink()
    sinks.push(sink)
    const signal = new AbortController().signal
    await source.streamChanges({
      from: course.state.position,
      until,
      tables: course.tables,
      sink,
      signal,
    })
  }
  expect(sinks[0]?.transactions.map(({ tag }) => String(tag))).toEqual([ids[0]?.xid])
  expect(sinks[0]?.transactions).toEqual(sinks[1]?.transactions)
  await ordinary.close()
  await finish(course)
})

test('trap: DDL inside a transaction in progress takes effect with its rows, rolled back DDL does not', async () => {
  const course = await courseOf('l4')
  const stream = startStream(course)
  const writer = await server.connect()
  await writer.query(
    `begin; ${rows('l4', 1)} savepoint a; alter table l4 add gone int default 5; ${rows('l4', 2001)}`,
  )
  const sent = await waitForSpool(course.spool)
  await writer.query(`rollback to a; ${rows('l4', 3001)}`)
  await waitForSpool(course.spool, sent)
  await writer.query(
    "savepoint b; alter table l4 add kept bigint default 7; insert into l4 values (5000, 'b', 1); release b",
  )
  await writer.query(`${rows('l4', 6001)} commit`)
  await server.sql(
    "begin; alter table l4 drop kept; insert into l4 values (1e6, 'no'); rollback; insert into l4 values (7001, 'c', 2)",
  )
  await stream.reach(await course.source.currentPosition())
  await writer.end()
  expect(idsOf(stream.sink)).toEqual(['1-1000 3001-4000 5000 6001-7000', '7001'])
  const [large, small] = stream.sink.transactions
  const kept = large?.rows.filter(({ cells }) => cells.length === 3)
  expect(kept?.map(({ cells }) => cells[2])).toEqual([
    '1',
    ...Array.from({ length: 1000 }, () => '7'),
  ])
  expect(small?.rows.map(({ cells }) => cells)).toEqual([['7001', 'c', '2']])
  expect(stream.sink.schemas.map(({ schema }) => schema.columns.map(({ name }) => name))).toEqual([
    ['id', 't', 'kept'],
  ])
  expect(stream.sink.gaps).toEqual([])
  await finish(course, stream)
})

test('a relation announced only in a part that was rolled back is known to the rows that follow', async () => {
  const course = await courseOf('l5', { tables: 2 })
  const stream = startStream(course)
  const writer = await server.connect()
  await writer.query(`begin; ${rows('l5', 1)} savepoint a; ${rows('l5_2', 1)}`)
  const sent = await waitForSpool(course.spool)
  await writer.query(`rollback to a; ${rows('l5', 2001)}`)
  await waitForSpool(course.spool, sent)
  await writer.query('commit')
  await writer.query("insert into l5_2 values (1, 'after')")
  await writer.query('truncate l5_2')
  await stream.reach(await course.source.currentPosition())
  await writer.end()
  expect(idsOf(stream.sink)).toEqual(['1-1000 2001-3000', '1', ''])
  expect(stream.sink.transactions[2]?.truncated).toEqual([course.tables[1]?.id])
  await finish(course, stream)
})

test('TRUNCATE in a transaction in progress, committed and rolled back', async () => {
  const course = await courseOf('l6', { tables: 2 })
  const stream = startStream(course)
  const writer = await server.connect()
  await writer.query(`begin; ${rows('l6', 1)} savepoint a; truncate l6, l6_2; ${rows('l6', 1)}`)
  await waitForSpool(course.spool)
  await writer.query(`rollback to a; ${rows('l6', 2001)} truncate l6_2; commit`)
  await stream.reach(await course.source.currentPosition())
  await writer.end()
  expect(idsOf(stream.sink)).toEqual(['1-1000 2001-3000'])
  expect(stream.sink.transactions[0]?.truncated).toEqual([course.tables[1]?.id])
  await finish(course, stream)
})

test('a prepared transaction that was sent in progress arrives at its COMMIT PREPARED only', async () => {
  const course = await courseOf('l7')
  const stream = startStream(course)
  await server.sql(`begin; ${rows('l7', 1)} prepare transaction 'kept'`)
  await server.sql(`begin; ${rows('l7', 2001)} prepare transaction 'gone'`)
  await waitForSpool(course.spool)
  await stream.reach(await course.source.currentPosition())
  expect(stream.sink.transactions).toEqual([])
  await server.sql("commit prepared 'kept'")
  await server.sql("rollback prepared 'gone'")
  await stream.reach(await course.source.currentPosition())
  expect(idsOf(stream.sink)).toEqual(['1-1000'])
  await finish(course, stream)
})

test('an acknowledgement while a transaction is in progress loses nothing of it, reconnecting neither', async () => {
  const course = await courseOf('l8')
  const writer = await server.connect()
  const stream = startStream(course)
  await writer.query(`begin; ${rows('l8', 1)}`)
  await waitForSpool(course.spool)
  await server.sql("insert into l8 values (99999, 'small')")
  await server.sql('create table l8_unfollowed (id int)')
  const middle = await course.source.currentPosition()
  await stream.reach(middle)
  // The position lies after rows that are only in the spool.
  const { reached } = stream
  expect(fromPosition(reached)).toBeGreaterThanOrEqual(fromPosition(middle))
  course.source.acknowledge(reached)
  await stream.stop()
  expect(idsOf(stream.sink)).toEqual(['99999'])
  expect(await spooledBytes(course.spool)).toBe(0)
  const [slot] = await server.sql(
    "select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = 'l8'",
  )
  expect(fromPosition(String(slot?.['lsn']) as Position)).toBe(fromPosition(reached))
  const again = startStream({ ...course, state: { position: reached } })
  // What lies before the position is not sent in progress a second time, but with what follows.
  await writer.query(rows('l8', 1001))
  await waitForSpool(course.spool)
  await writer.query(`${rows('l8', 2001)} commit`)
  await again.reach(await course.source.currentPosition())
  expect(idsOf(again.sink)).toEqual(['1-3000'])
  await writer.end()
  await finish(course, again)
})

test('until ends before a transaction in progress that commits later, and from begins after one', async () => {
  const course = await courseOf('l9')
  const writer = await server.connect()
  await writer.query(`begin; ${rows('l9', 1)}`)
  await server.sql(`begin; ${rows('l9', 10_001)} commit`)
  const until = await course.source.currentPosition()
  await writer.query(`${rows('l9', 1001)} commit`)
  await writer.end()
  const { signal } = new AbortController()
  const sink = new RecordingSink()
  const { source, tables, state } = course
  await source.streamChanges({ from: state.position, until, tables, sink, signal })
  expect(idsOf(sink)).toEqual(['10001-11000'])
  expect(placeOf(sink.heartbeats.at(-1))).toBe(until)
  const rest = new RecordingSink()
  await source.streamChanges({
    from: until,
    until: await source.currentPosition(),
    tables,
    sink: rest,
    signal,
  })
  expect(idsOf(rest)).toEqual(['1-2000'])
  await finish(course)
})

test('pressure stops the delivery of a spooled transaction, and stopping ends it', async () => {
  const course = await courseOf('l10')
  await server.sql(`begin; ${rows('l10', 1, 20_000)} commit`)
  const sink = new RecordingSink()
  let asked = 0
  let release = (): void => undefined
  sink.pressure = () => {
    if (++asked !== 2) return undefined
    return new Promise((resolve) => (release = resolve))
  }
  const stream = startStream({ ...course, sink })
  await waitUntil(() => Promise.resolve(asked === 2))
  expect(sink.transactions).toEqual([])
  await stream.stop()
  release()
  expect(await spooledBytes(course.spool)).toBe(0)
  const again = startStream(course)
  await again.reach(await course.source.currentPosition())
  expect(idsOf(again.sink)).toEqual(['1-20000'])
  await finish(course, again)
})

test('a spool that is full ends the stream with a code; the next one gets the transaction at its commit', async () => {
  const course = await courseOf('l11', { maxBytes: 100_000 })
  await server.sql(`begin; ${rows('l11', 1, 20_000)} commit`)
  const stream = startStream(course)
  if (isStreaming) {
    await expect(stream.ended).rejects.toMatchObject({ code: 'SOURCE_SPOOL_FULL' })
    expect(stream.sink.transactions).toEqual([])
  } else {
    await stream.reach(await course.source.currentPosition())
    await stream.stop()
  }
  expect(await spooledBytes(course.spool)).toBe(0)
  const again = startStream(course)
  await again.reach(await course.source.currentPosition())
  expect(idsOf(again.sink)).toEqual(['1-20000'])
  await finish(course, again)
})

test('a copy covers the transaction in progress that it shows, and not the one that commits later', async () => {
  const course = await courseOf('l12')
  const { source, tables } = course
  const stream = startStream(course)
  const [shown, later] = [await server.connect(), await server.connect()]
  await shown.query(`begin; savepoint s; ${rows('l12', 1)} release s`)
  await later.query(`begin; savepoint s; ${rows('l12', 10_001)} release s`)
  await waitForSpool(course.spool)
  await shown.query('commit')
  const table = tables[0] as SourceTable
  const snapshot = await source.beginSnapshot(table, { delivered: [] })
  const copied = await copiedRows(snapshot, table)
  await later.query('commit')
  await stream.reach(await source.currentPosition())
  const point = source.parseSnapshotPoint(snapshot.point)
  const covered = stream.sink.transactions.filter((transaction) => point.covers(transaction))
  expect(covered.map(({ rows: recorded }) => recorded[0]?.cells[0])).toEqual(['1'])
  expect(stream.sink.transactions).toHaveLength(2)
  expect(copied).toHaveLength(1000)
  for (const client of [shown, later]) await client.end()
  await finish(course, stream)
})

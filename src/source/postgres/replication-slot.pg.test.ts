import type { Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Incarnation, SourceState } from '../source.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests({
  settings: {
    autovacuum: 'off',
    max_slot_wal_keep_size: '1MB',
    max_wal_size: '32MB',
    min_wal_size: '32MB',
  },
})

const never = new AbortController().signal

async function prepared(name: string): Promise<{ source: PostgresSource; state: SourceState }> {
  await server.sql(`create table ${name} (id int primary key)`)
  const source = sourceOf(server, { name })
  const state = await source.prepare([await tableNamed(source, name)], undefined)
  return { source, state }
}

/** `prepare` and `streamChanges` both refuse to go on from `state`. */
async function expectRefusal(
  source: PostgresSource,
  name: string,
  state: SourceState,
  code: string,
): Promise<void> {
  const tables = [await tableNamed(source, name)]
  await expect(source.prepare(tables, state)).rejects.toMatchObject({ code })
  const sink = new RecordingSink()
  const streaming = source.streamChanges({ from: state.position, tables, sink, signal: never })
  await expect(streaming).rejects.toMatchObject({ code })
  expect(sink.transactions).toEqual([])
  expect(sink.heartbeats).toEqual([])
}

describe('trap: a slot that does not reach back to us', () => {
  test('because it was dropped', async () => {
    const { source, state } = await prepared('d1')
    await server.sql("select pg_drop_replication_slot('d1')")
    await expectRefusal(source, 'd1', state, 'SOURCE_LOG_LOST')
    await expect(source.health()).rejects.toMatchObject({ code: 'SOURCE_LOG_LOST' })
    await source.dispose()
    await source.close()
  })

  test('because it was made anew under its name', async () => {
    const { source, state } = await prepared('d2')
    await server.sql('insert into d2 values (1)')
    await server.sql("select pg_drop_replication_slot('d2')")
    await server.sql("select pg_create_logical_replication_slot('d2', 'pgoutput')")
    await expectRefusal(source, 'd2', state, 'SOURCE_LOG_LOST')
    await source.dispose()
    await source.close()
  })

  test('because somebody advanced it', async () => {
    const { source, state } = await prepared('d3')
    await server.sql('insert into d3 values (1)')
    await server.sql("select pg_replication_slot_advance('d3', pg_current_wal_lsn())")
    await expectRefusal(source, 'd3', state, 'SOURCE_LOG_LOST')
    await source.dispose()
    await source.close()
  })

  test('because the server removed the log, and health() shows it coming', async () => {
    const { source, state } = await prepared('d4')
    const before = await source.health()
    await server.sql('create table filler as select generate_series(1, 400000) a')
    const after = await source.health()
    expect(after.retainedBytes).toBeGreaterThan(before.retainedBytes)
    expect(after.budgetBytes ?? 0n).toBeLessThan(before.budgetBytes ?? 0n)
    await server.sql('select pg_switch_wal()')
    await server.sql('checkpoint')
    await expectRefusal(source, 'd4', state, 'SOURCE_LOG_LOST')
    const findings = await source.check(undefined)
    expect(findings.map(({ code }) => code)).toContain('SOURCE_LOG_LOST')
    // Without a saved state there is nothing to lose: a new one takes its place.
    const anew = await source.prepare([await tableNamed(source, 'd4')], undefined)
    expect(anew.position).not.toBe(state.position)
    await source.dispose()
    await source.close()
  })
})

test('trap: another system is another incarnation', async () => {
  const { source, state } = await prepared('i1')
  const tables = [await tableNamed(source, 'i1')]
  for (const change of [
    { system: '1' },
    { timeline: '9' },
    { timeline: '0' },
    { database: '1' },
    { slot: 'x' },
  ]) {
    const record = { ...(JSON.parse(state.incarnation) as object), ...change }
    const incarnation = JSON.stringify(record) as Incarnation
    await expect(source.prepare(tables, { ...state, incarnation })).rejects.toMatchObject({
      code: 'SOURCE_INCARNATION_CHANGED',
    })
  }
  await expect(
    source.prepare(tables, { ...state, incarnation: 'nonsense' as Incarnation }),
  ).rejects.toMatchObject({ code: 'SOURCE_INCARNATION_CHANGED' })
  expect((await source.prepare(tables, state)).position).toBe(state.position)
  await source.dispose()
  await source.close()
})

test('trap: a slot that somebody reads is taken, and free after that', async () => {
  const { source, state } = await prepared('t1')
  const tables = [await tableNamed(source, 't1')]
  const first = startStream({ source, state, tables })
  // What it delivers shows that it has the slot.
  await server.sql('insert into t1 values (1)')
  await first.reach(await source.currentPosition())
  const other = sourceOf(server, { name: 't1', blockedTimeoutMs: 500 })
  await expect(
    other.streamChanges({
      from: state.position,
      tables,
      sink: new RecordingSink(),
      signal: never,
    }),
  ).rejects.toMatchObject({ code: 'SOURCE_SLOT_TAKEN' })
  await expect(other.prepare(tables, undefined)).rejects.toMatchObject({
    code: 'SOURCE_SLOT_TAKEN',
  })
  await first.stop()
  const second = startStream({ source: other, state, tables })
  await second.reach(await source.currentPosition())
  await second.stop()
  await other.close()
  await source.dispose()
  await source.close()
})

test('trap: a slot of another kind is not touched', async () => {
  await server.sql("select pg_create_logical_replication_slot('k1', 'test_decoding')")
  await server.sql('create table k1 (id int primary key)')
  const source = sourceOf(server, { name: 'k1' })
  const tables = [await tableNamed(source, 'k1')]
  await expect(source.prepare(tables, undefined)).rejects.toMatchObject({
    code: 'SOURCE_SLOT_TAKEN',
  })
  const [row] = await server.sql("select plugin from pg_replication_slots where slot_name = 'k1'")
  expect(row).toEqual({ plugin: 'test_decoding' })
  await expect(source.dispose()).rejects.toMatchObject({ code: 'SOURCE_SLOT_TAKEN' })
  await server.sql("select pg_drop_replication_slot('k1')")
  await source.close()
})

test('trap: a slot left by a run that was cut off is taken over where the log ends', async () => {
  const { source, state } = await prepared('l1')
  await source.close()
  await server.sql('insert into l1 values (1)')
  const next = sourceOf(server, { name: 'l1' })
  const tables = [await tableNamed(next, 'l1')]
  const again = await next.prepare(tables, undefined)
  expect(again.position).not.toBe(state.position)
  const sink = new RecordingSink()
  const until = await next.currentPosition()
  await next.streamChanges({ from: again.position, until, tables, sink, signal: never })
  expect(sink.transactions).toEqual([])
  await next.dispose()
  await next.close()
})

test('a slot that a killed process was making is waited for, not fought over', async () => {
  await server.sql('create table o1 (id int primary key)')
  const source = sourceOf(server, { name: 'o1' })
  const tables = [await tableNamed(source, 'o1')]
  const open = await server.connect()
  await open.query('begin; insert into o1 values (1)')
  const maker = await server.connect()
  maker.query("select pg_create_logical_replication_slot('o1', 'pgoutput')").catch(() => undefined)
  const held = "select from pg_replication_slots where slot_name = 'o1' and active_pid is not null"
  while ((await server.sql(held)).length === 0);
  // The server does not notice: it waits for the open transaction.
  ;(maker as unknown as { connection: { stream: Socket } }).connection.stream.destroy()
  const preparing = source.prepare(tables, undefined)
  const looks =
    "select from pg_stat_activity where query like '%pg_replication_slots s%slot_name = $1%'"
  while ((await server.sql(looks)).length === 0);
  await open.query('commit')
  await open.end()
  const state = await preparing
  await server.sql('insert into o1 values (2)')
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['2'])
  await source.dispose()
  await source.close()
})

test('trap: a stream whose server crashes is a lost connection, and nothing is lost after it', async () => {
  const { source, state } = await prepared('c1')
  const tables = [await tableNamed(source, 'c1')]
  const stream = startStream({ source, state, tables })
  await server.sql('insert into c1 values (1)')
  await stream.reach(await source.currentPosition())
  await server.crash()
  await expect(stream.ended).rejects.toMatchObject({ code: 'SOURCE_CONNECTION_LOST' })
  await expect(source.currentPosition()).rejects.toMatchObject({ retry: 'backoff' })
  await server.start()
  await server.sql('insert into c1 values (2)')
  const position = stream.sink.transactions.at(-1)?.position ?? state.position
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: position, until, tables, sink, signal: never })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['2'])
  await source.dispose()
  await source.close()
})

test('dispose() leaves nothing behind, twice', async () => {
  const { source } = await prepared('z1')
  await source.dispose()
  await source.dispose()
  const left = `select slot_name::text as name from pg_replication_slots where slot_name = 'z1'
    union all select pubname from pg_publication where pubname = 'z1'`
  expect(await server.sql(left)).toEqual([])
  await source.close()
})

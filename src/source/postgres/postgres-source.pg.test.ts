import { describe, expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Position } from '../source.ts'
import { fromPosition } from './position.ts'
import { placeOf, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

const never = new AbortController().signal

async function confirmedLsn(name: string): Promise<bigint> {
  const [row] = await server.sql(
    `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${name}'`,
  )
  return fromPosition(String(row?.['lsn']) as Position)
}

describe('streamChanges()', () => {
  test('trap: delivers whole transactions, keeps its place, and confirms only what is acknowledged', async () => {
    await server.sql('create table s1 (id int primary key, t text)')
    const source = sourceOf(server, { name: 's1' })
    const table = await tableNamed(source, 's1')
    const state = await source.prepare([table], undefined)
    await server.sql("begin; insert into s1 values (1, 'a'), (2, null); commit")
    await server.sql("begin; insert into s1 values (3, 'no'); rollback")
    await server.sql(
      "update s1 set t = 'b' where id = 1; delete from s1 where id = 2; update s1 set id = 9 where id = 1",
    )
    await server.sql('truncate s1')
    const stream = startStream({ source, state, tables: [table] })
    const end = await source.currentPosition()
    await stream.reach(end)
    const seen = stream.sink.transactions.map(({ rows, truncated }) =>
      truncated.length > 0 ? ['truncate'] : rows.map((row) => [row.op, ...row.cells].join(' ')),
    )
    expect(seen).toEqual([['i 1 a', 'i 2 '], ['u 1 b', 'd 2 ', 'd 1 ', 'i 9 b'], ['truncate']])
    expect(await confirmedLsn('s1')).toBe(fromPosition(state.position))
    const first = stream.sink.transactions[0]?.position
    if (first === undefined) throw new Error('no position')
    source.acknowledge(first)
    await stream.stop()
    expect(await confirmedLsn('s1')).toBe(fromPosition(first))

    // From there: the first transaction is not delivered again, the others are.
    const again = startStream({ source, state: { position: first }, tables: [table] })
    await again.reach(end)
    await again.stop()
    expect(again.sink.transactions.map(({ tag }) => tag)).toEqual(
      stream.sink.transactions.slice(1).map(({ tag }) => tag),
    )
    await source.dispose()
    await source.close()
  })

  test('trap: until delivers what commits before that place and nothing else', async () => {
    await server.sql('create table s2 (id int primary key)')
    const source = sourceOf(server, { name: 's2' })
    const table = await tableNamed(source, 's2')
    const state = await source.prepare([table], undefined)
    await server.sql('insert into s2 values (1)')
    const writer = await server.connect()
    await writer.query('begin; insert into s2 values (2)')
    const until = await source.currentPosition()
    await writer.query('commit')
    await writer.end()
    await server.sql('insert into s2 values (3)')
    const sink = new RecordingSink()
    await source.streamChanges({
      from: state.position,
      until,
      tables: [table],
      sink,
      signal: never,
    })
    expect(sink.transactions.map(({ rows }) => rows[0]?.cells[0])).toEqual(['1'])
    expect(placeOf(sink.heartbeats.at(-1))).toBe(until)
    // From there on to now: exactly the others.
    const rest = new RecordingSink()
    const now = await source.currentPosition()
    await source.streamChanges({
      from: until,
      until: now,
      tables: [table],
      sink: rest,
      signal: never,
    })
    expect(rest.transactions.map(({ rows }) => rows[0]?.cells[0])).toEqual(['2', '3'])
    // A place that was passed already is reached at once.
    const passed = new RecordingSink()
    await source.streamChanges({ from: now, until, tables: [table], sink: passed, signal: never })
    expect(passed.heartbeats).toEqual([now])
    await source.dispose()
    await source.close()
  })

  test('trap: of two commits in a row the second begins where the first ends, and is not skipped', async () => {
    await server.sql('create table s9 (id int primary key)')
    const source = sourceOf(server, { name: 's9' })
    const table = await tableNamed(source, 's9')
    const state = await source.prepare([table], undefined)
    const clients = await Promise.all([server.connect(), server.connect()])
    const read = async (from: Position, until: Position): Promise<RecordingSink> => {
      const sink = new RecordingSink()
      await source.streamChanges({ from, until, tables: [table], sink, signal: never })
      return sink
    }
    // The server may write something between the two, now and then.
    for (let id = 1; ; id += 2) {
      await Promise.all(
        clients.map((client, n) => client.query(`begin; insert into s9 values (${id + n})`)),
      )
      for (const client of clients) await client.query('commit')
      const now = await source.currentPosition()
      const both = await read(state.position, now)
      const [first, second] = both.transactions.slice(-2)
      const between = first?.position
      if (between === undefined || second?.place !== fromPosition(between)) continue
      expect((await read(between, now)).transactions).toEqual([second])
      const before = await read(state.position, between)
      expect(before.transactions.at(-1)).toEqual(first)
      break
    }
    await Promise.all(clients.map((client) => client.end()))
    await source.dispose()
    await source.close()
  })

  test('trap: a server that begins earlier than it was asked delivers nothing twice, and nothing too little', async () => {
    await server.sql('create table s10 (id int primary key)')
    // The slot was not told yet, as after a crash, and the place that is asked for gets lost.
    const rewriteAll = (bytes: Buffer): Buffer =>
      Buffer.from(
        bytes.toString('latin1').replace(/ LOGICAL 0\/([0-9A-F]+)/, (text, place: string) => {
          return text.replace(place, '0'.repeat(place.length))
        }),
        'latin1',
      )
    const proxy = await startProxy(server, { rewriteAll })
    const source = sourceOf(server, { name: 's10', connection: { port: String(proxy.port) } })
    const table = await tableNamed(source, 's10')
    const state = await source.prepare([table], undefined)
    for (const id of [1, 2, 3]) await server.sql(`insert into s10 values (${id})`)
    const read = async (from: Position): Promise<RecordingSink> => {
      const sink = new RecordingSink()
      const until = await source.currentPosition()
      await source.streamChanges({ from, until, tables: [table], sink, signal: never })
      return sink
    }
    const all = await read(state.position)
    expect(all.transactions).toHaveLength(3)
    const rest = await read(all.transactions[1]?.position ?? state.position)
    expect(rest.transactions).toEqual(all.transactions.slice(2))
    await source.dispose()
    await source.close()
    await proxy.close()
  })

  test('trap: log that only other databases write is kept for ever unless keepalives are acknowledged', async () => {
    await server.sql('create table s3 (id int primary key)')
    await server.sql('create database other')
    const source = sourceOf(server, { name: 's3' })
    const table = await tableNamed(source, 's3')
    const state = await source.prepare([table], undefined)
    const stream = startStream({ source, state, tables: [table] })
    await server.sql('create table o as select generate_series(1, 50000) as a', 'other')
    const end = await source.currentPosition()
    const before = await source.health()
    expect(before.lagBytes).toBeGreaterThan(1_000_000n)
    await stream.reach(end)
    expect(stream.sink.transactions).toEqual([])
    expect(await confirmedLsn('s3')).toBe(fromPosition(state.position))
    source.acknowledge(end)
    await stream.stop()
    expect(await confirmedLsn('s3')).toBe(fromPosition(end))
    expect((await source.health()).lagBytes).toBeLessThan(100_000n)
    await source.dispose()
    await source.close()
  })

  test('pressure stops reading while status goes on, and nothing is lost', async () => {
    await server.sql('create table s4 (id int primary key, t text)')
    const source = sourceOf(server, { name: 's4' })
    const table = await tableNamed(source, 's4')
    const state = await source.prepare([table], undefined)
    await server.sql("insert into s4 select g, repeat('x', 100) from generate_series(1, 50000) g")
    const sink = new RecordingSink()
    let release = (): void => undefined
    sink.nextPressure = new Promise((resolve) => (release = resolve))
    const stream = startStream({ source, state, tables: [table], sink })
    const end = await source.currentPosition()
    setTimeout(release, 50)
    await stream.reach(end)
    await stream.stop()
    expect(sink.transactions[0]?.rows.length).toBe(50_000)
    await source.dispose()
    await source.close()
  })

  test('a changed schema is announced where it changed, old rows keep the old one', async () => {
    await server.sql('create table s5 (id int primary key, a text)')
    const source = sourceOf(server, { name: 's5' })
    const table = await tableNamed(source, 's5')
    const state = await source.prepare([table], undefined)
    await server.sql("insert into s5 values (1, 'old')")
    await server.sql(
      "alter table s5 add b bigint not null default 7; insert into s5 values (2, 'new')",
    )
    await server.sql(
      'alter table s5 drop a; alter table s5 alter b drop not null; insert into s5 values (3, null)',
    )
    await server.sql('alter table s5 rename to s5_renamed; insert into s5_renamed values (4, 4)')
    const stream = startStream({ source, state, tables: [table] })
    await stream.reach(await source.currentPosition())
    await stream.stop()
    expect(stream.sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells))).toEqual([
      ['1', 'old'],
      ['2', 'new', '7'],
      ['3', null],
      ['4', '4'],
    ])
    expect(
      stream.sink.schemas.map(({ schema }) => schema.columns.map((column) => column.name)),
    ).toEqual([
      // One column was dropped by now and one added: nobody can tell that this is the old "a".
      ['id', 'a'],
      ['id', 'a', 'b'],
      ['id', 'b'],
    ])
    await source.dispose()
    await source.close()
  })

  test('a column that is dropped and made again is a changed schema, in the log and in the catalog', async () => {
    await server.sql("create table s8 (id int primary key, a text); insert into s8 values (0, 'x')")
    const source = sourceOf(server, { name: 's8' })
    const table = await tableNamed(source, 's8')
    const state = await source.prepare([table], undefined)
    await server.sql(
      "alter table s8 drop a; alter table s8 add a text; insert into s8 values (1, 'new')",
    )
    const stream = startStream({ source, state, tables: [table] })
    await stream.reach(await source.currentPosition())
    await stream.stop()
    const [announced] = stream.sink.schemas
    expect(announced?.schema.columns.map(({ id }) => id)).toEqual(['1', '3'])
    const now = await tableNamed(source, 's8')
    expect(announced?.schema).toEqual(now.schema)
    expect(announced?.schema).not.toEqual(table.schema)
    await source.dispose()
    await source.close()
  })

  test('trap: a table that loses its key becomes a gap, others go on', async () => {
    await server.sql('create table s6 (id int primary key); create table s7 (id int primary key)')
    const source = sourceOf(server, { name: 's6' })
    const tables = [await tableNamed(source, 's6'), await tableNamed(source, 's7')]
    const state = await source.prepare(tables, undefined)
    await server.sql('alter table s6 drop constraint s6_pkey; insert into s6 values (1)')
    await server.sql('insert into s7 values (1)')
    const stream = startStream({ source, state, tables })
    await stream.reach(await source.currentPosition())
    await stream.stop()
    expect(stream.sink.gaps.map(({ table }) => table)).toEqual([tables[0]?.id])
    expect(stream.sink.transactions.flatMap(({ rows }) => rows)).toHaveLength(1)
    const keyless = await tableNamed(source, 's6')
    expect(keyless.schema.key).toEqual([])
    await expect(source.beginSnapshot(keyless, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_TABLE_WITHOUT_KEY',
    })
    await source.dispose()
    await source.close()
  })
})

test('trap: the key is dropped from a table with identity full while it is read: by whole rows from there', async () => {
  await server.sql(`create table f1 (id int primary key, v text); alter table f1 replica identity full;
    insert into f1 values (1, 'a')`)
  const source = sourceOf(server, { name: 'f1' })
  const table = await tableNamed(source, 'f1')
  expect(table.schema).toMatchObject({ key: ['id'] })
  const state = await source.prepare([table], undefined)
  await server.sql(`update f1 set v = 'b'; alter table f1 drop constraint f1_pkey;
    insert into f1 values (1, 'b'), (1, 'b'); update f1 set v = 'c' where ctid = (select min(ctid) from f1)`)
  const stream = startStream({ source, state, tables: [table] })
  await stream.reach(await source.currentPosition())
  await stream.stop()
  // What the catalog says is later than the log: it may be told earlier, never later.
  expect(stream.sink.schemas.map(({ schema }) => [schema.key, schema.identity])).toEqual([
    [[], 'full-row'],
  ])
  const ops = stream.sink.transactions.flatMap(({ rows }) => rows.map(({ op }) => op))
  expect(ops.slice(-4)).toEqual(['i', 'i', 'd', 'i'])
  await source.dispose()
  await source.close()
})

describe('exactSnapshot()', () => {
  test('shows exactly what a stream delivers up to its position, under concurrent writers', async () => {
    await server.sql('create table e1 (id int primary key)')
    const source = sourceOf(server, { name: 'e1' })
    const table = await tableNamed(source, 'e1')
    const state = await source.prepare([table], undefined)
    let isWriting = true
    const clients = await Promise.all([0, 1, 2].map(() => server.connect()))
    for (const [writer, client] of clients.entries()) {
      await client.query(`insert into e1 values (${writer})`)
    }
    const writers = Promise.all(
      clients.map(async (client, writer) => {
        for (let i = 1; isWriting; i++) {
          await client.query(`insert into e1 values (${i * 3 + writer})`)
        }
        await client.end()
      }),
    )
    try {
      for (let round = 0; round < 3; round++) {
        const exact = await source.exactSnapshot()
        const reader = await server.connect()
        await reader.query('begin isolation level repeatable read')
        await reader.query(`set transaction snapshot '${exact.snapshotName}'`)
        const shown = await reader.query<{ id: number }>('select id from e1')
        await reader.end()
        await exact.close()
        const sink = new RecordingSink()
        await source.streamChanges({
          from: state.position,
          until: exact.position,
          tables: [table],
          sink,
          signal: never,
        })
        const streamed = sink.transactions.flatMap(({ rows }) =>
          rows.map(({ cells }) => Number(cells[0])),
        )
        const sorted = (ids: number[]): number[] => ids.toSorted((a, b) => a - b)
        expect(sorted(streamed)).toEqual(sorted(shown.rows.map(({ id }) => id)))
        expect(streamed.length).toBeGreaterThan(0)
      }
    } finally {
      isWriting = false
      await writers
    }
    await source.dispose()
    await source.close()
  })

  test('openVerification() counts the rows of its position, not those that come later', async () => {
    await server.sql('create table v1 (id int primary key); insert into v1 values (1), (2)')
    const source = sourceOf(server, { name: 'v1' })
    const table = await tableNamed(source, 'v1')
    const verification = await source.openVerification([table])
    await server.sql('insert into v1 values (3)')
    const buckets = await verification.digestTable(table, ['id'])
    expect(buckets.reduce((sum, { rows }) => sum + rows, 0n)).toBe(2n)
    await verification.close()
    await source.close()
  })

  test('names the process that it waits for', async () => {
    const source = sourceOf(server, { name: 'e2', blockedTimeoutMs: 300 })
    await server.sql('create table e2 (id int primary key)')
    const writer = await server.connect()
    await writer.query('begin; insert into e2 values (1)')
    const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid')
    const blocked = {
      code: 'SOURCE_SLOT_BLOCKED',
      message: expect.stringContaining(String(rows[0]?.pid)),
    }
    await expect(source.exactSnapshot()).rejects.toMatchObject(blocked)
    const table = await tableNamed(source, 'e2')
    await expect(source.prepare([table], undefined)).rejects.toMatchObject(blocked)
    await writer.end()
    const state = await source.prepare([table], undefined)
    expect(placeOf(state.position)).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/)
    await source.dispose()
    await source.close()
  })
})

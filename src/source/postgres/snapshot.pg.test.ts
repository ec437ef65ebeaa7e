import { describe, expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Position, SnapshotPoint } from '../source.ts'
import { toPosition } from './position.ts'
import { copiedRows, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { type RecordedRow, RecordingSink, RecordingSnapshotSink } from './testing/recording-sink.ts'

const server = serverForTests({
  settings: { autovacuum: 'off', max_prepared_transactions: '2' },
})

const never = new AbortController().signal

describe('beginSnapshot()', () => {
  test('trap: chunks of a large table are together the table', async () => {
    await server.sql(
      `create table c1 (id int primary key, t text);
      insert into c1 select g, repeat(md5(g::text), 20) from generate_series(1, 130000) g;
      delete from c1 where id % 7 = 0; vacuum c1`.replace('; vacuum c1', ''),
    )
    const source = sourceOf(server, { name: 'c1' })
    const table = await tableNamed(source, 'c1')
    await source.prepare([table], undefined)
    const snapshot = await source.beginSnapshot(table, { delivered: [] })
    // Before 14 a range of ctids is no range of blocks to the server.
    if (postgresVersion >= 14) expect(snapshot.chunks.length).toBeGreaterThan(1)
    else expect(snapshot.chunks.length).toBe(1)
    expect(snapshot.chunks.map(({ id }) => id)).toEqual(snapshot.chunks.map((_, id) => id))
    // Written after the snapshot: not in it.
    await server.sql("insert into c1 values (1000000, 'late'); delete from c1 where id < 100")
    const sinks = snapshot.chunks.map(() => new RecordingSnapshotSink(table))
    await Promise.all(
      snapshot.chunks.map(async (chunk, i) => {
        const sink = sinks[i]
        if (sink !== undefined) await snapshot.readChunk(chunk, sink, never)
      }),
    )
    await snapshot.close()
    const ids = sinks.flatMap((sink) => sink.rows().map(({ cells }) => Number(cells[0])))
    const expected = Array.from({ length: 130_000 }, (_, i) => i + 1).filter((id) => id % 7 !== 0)
    expect(ids.toSorted((a, b) => a - b)).toEqual(expected)
    await source.dispose()
    await source.close()
  })

  test('trap: copy and stream together give every row exactly once, under writers with savepoints', async () => {
    await server.sql('create table x1 (id int primary key, n int not null)')
    await server.sql('insert into x1 select g, 0 from generate_series(0, 199) g')
    const source = sourceOf(server, { name: 'x1' })
    const table = await tableNamed(source, 'x1')
    const state = await source.prepare([table], undefined)
    const stream = startStream({ source, state, tables: [table] })
    let isWriting = true
    const writers = [0, 1, 2, 3].map(async (writer) => {
      const client = await server.connect()
      for (let i = 0; isWriting; i++) {
        const id = (writer * 50 + ((i * 7) % 50)).toString()
        await client.query(`begin; update x1 set n = n + 1 where id = ${id}; savepoint a`)
        await client.query(`update x1 set n = n + 100 where id = ${id}; rollback to a`)
        await client.query(`savepoint b; update x1 set n = n + 1 where id = ${id}; release b`)
        await client.query(i % 5 === 0 ? 'rollback' : 'commit')
      }
      await client.end()
    })
    const copies: { point: SnapshotPoint; rows: readonly RecordedRow[] }[] = []
    for (let round = 0; round < 4; round++) {
      await stream.until(() => stream.sink.transactions.length > round * 40)
      const delivered = [...stream.sink.transactions]
      const snapshot = await source.beginSnapshot(table, { delivered })
      const point = source.parseSnapshotPoint(snapshot.point)
      for (const transaction of delivered) {
        expect(point.covers(transaction)).toBe(true)
      }
      const copied = await copiedRows(snapshot, table)
      copies.push({ point, rows: copied })
    }
    isWriting = false
    await Promise.all(writers)
    const end = await source.currentPosition()
    await stream.reach(end)
    await stream.stop()
    const truth = await server.sql('select id::text, n::text from x1')
    for (const { point, rows } of copies) {
      expect(point.isPassedBy(state.position)).toBe(false)
      expect(point.isPassedBy(end)).toBe(true)
      const copy = new Map(rows.map(({ cells }) => [cells[0], cells[1]]))
      let applied = 0
      for (const transaction of stream.sink.transactions) {
        if (point.covers(transaction)) continue
        for (const { cells } of transaction.rows) {
          // Every update is of one row that we know, so a doubled or lost one shows in the end value.
          expect(Number(cells[1])).toBeGreaterThan(Number(copy.get(cells[0])))
          copy.set(cells[0], cells[1])
          applied++
        }
      }
      expect(applied).toBeGreaterThan(0)
      expect(new Map(truth.map((row) => [row['id'], row['n']]))).toEqual(copy)
    }
    await source.dispose()
    await source.close()
  })

  test('trap: a transaction that is prepared during a copy comes at its commit, and is not in the copy', async () => {
    await server.sql('create table p1 (id int primary key); insert into p1 values (1)')
    const source = sourceOf(server, { name: 'p1' })
    const table = await tableNamed(source, 'p1')
    const state = await source.prepare([table], undefined)
    await server.sql("begin; insert into p1 values (2); prepare transaction 'later'")
    const stream = startStream({ source, state, tables: [table] })
    await stream.reach(await source.currentPosition())
    expect(stream.sink.transactions).toEqual([])
    const snapshot = await source.beginSnapshot(table, { delivered: [] })
    const copied = await copiedRows(snapshot, table)
    expect(copied.map(({ cells }) => cells[0])).toEqual(['1'])
    await server.sql("commit prepared 'later'")
    await stream.reach(await source.currentPosition())
    await stream.stop()
    const [committed, ...more] = stream.sink.transactions
    expect([committed?.rows.map(({ cells }) => cells[0]), more]).toEqual([['2'], []])
    if (committed === undefined) throw new Error('it never came')
    expect(source.parseSnapshotPoint(snapshot.point).covers(committed)).toBe(false)
    await source.dispose()
    await source.close()
  })

  test('trap: waits for transactions older than the publication of the table', async () => {
    await server.sql('create table w1 (id int primary key); create table w2 (id int primary key)')
    const source = sourceOf(server, { name: 'w1', blockedTimeoutMs: 400 })
    const [w1, w2] = [await tableNamed(source, 'w1'), await tableNamed(source, 'w2')]
    const state = await source.prepare([w1], undefined)
    const writer = await server.connect()
    await writer.query('begin; insert into w2 values (1)')
    const both = await source.prepare([w1, w2], state)
    // The row of the open transaction will not be in the stream, so the copy has to show it.
    await expect(source.beginSnapshot(w2, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_SLOT_BLOCKED',
    })
    await (await source.beginSnapshot(w1, { delivered: [] })).close()
    // Not even after a restart.
    const other = sourceOf(server, { name: 'w1', blockedTimeoutMs: 300 })
    await other.prepare([w1, w2], both)
    await expect(other.beginSnapshot(w2, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_SLOT_BLOCKED',
    })
    await other.close()
    await writer.query('commit')
    await writer.end()
    const snapshot = await source.beginSnapshot(w2, { delivered: [] })
    const copied = await copiedRows(snapshot, w2)
    expect(copied.map(({ cells }) => cells[0])).toEqual(['1'])
    await source.dispose()
    await source.close()
  })

  test('trap: what empties a table is not hidden by a snapshot, so the lock comes before it and stays', async () => {
    await server.sql('create table k1 (id int primary key); insert into k1 values (1)')
    const source = sourceOf(server, { name: 'k1' })
    const table = await tableNamed(source, 'k1')
    await source.prepare([table], undefined)
    const writer = await server.connect()
    await writer.query('begin; truncate k1; insert into k1 values (2)')
    const beginning = source.beginSnapshot(table, { delivered: [] })
    const waits = `select from pg_locks where relation = 'k1'::regclass and not granted`
    while ((await server.sql(waits)).length === 0);
    await writer.query('commit')
    const snapshot = await beginning
    await writer.query("set lock_timeout = '50ms'")
    await expect(writer.query('truncate k1')).rejects.toMatchObject({ code: '55P03' })
    await writer.end()
    const copied = await copiedRows(snapshot, table)
    expect(copied.map(({ cells }) => cells[0])).toEqual(['2'])
    await source.dispose()
    await source.close()
  })

  test('trap: a commit that is seen before its record is written: the copy ends after that, and so does "now"', async () => {
    await server.sql('create table y1 (id int primary key)')
    await server.sql("alter system set wal_writer_delay = '10s'")
    await server.sql('select pg_reload_conf()')
    const source = sourceOf(server, { name: 'y1' })
    const table = await tableNamed(source, 'y1')
    const state = await source.prepare([table], undefined)
    await (await source.beginSnapshot(table, { delivered: [] })).close()
    const hasty = await server.connect()
    await hasty.query('set synchronous_commit = off')
    const streamed = async (until: Position): Promise<RecordingSink> => {
      const sink = new RecordingSink()
      await source.streamChanges({
        from: state.position,
        until,
        tables: [table],
        sink,
        signal: never,
      })
      return sink
    }
    await hasty.query('insert into y1 values (1)')
    const first = await streamed(await source.currentPosition())
    expect(first.transactions).toHaveLength(1)
    await hasty.query('insert into y1 values (2)')
    const snapshot = await source.beginSnapshot(table, { delivered: [] })
    const point = source.parseSnapshotPoint(snapshot.point)
    await snapshot.close()
    const [, second] = (await streamed(await source.currentPosition())).transactions
    if (second === undefined) throw new Error('no second transaction')
    expect(point.covers(second)).toBe(true)
    expect(point.isPassedBy(toPosition(second.place ?? 0n))).toBe(false)
    await hasty.end()
    await server.sql('alter system reset wal_writer_delay')
    await server.sql('select pg_reload_conf()')
    await source.dispose()
    await source.close()
  })

  test('trap: refuses a table that changed or is gone', async () => {
    await server.sql('create table g1 (id int primary key, a text)')
    const source = sourceOf(server, { name: 'g1' })
    const table = await tableNamed(source, 'g1')
    await source.prepare([table], undefined)
    await server.sql('alter table g1 alter a type varchar(9)')
    await expect(source.beginSnapshot(table, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_TABLE_CHANGED',
    })
    await server.sql('drop table g1')
    await expect(source.beginSnapshot(table, { delivered: [] })).rejects.toMatchObject({
      code: 'SOURCE_TABLE_MISSING',
    })
    await source.dispose()
    await source.close()
  })
})

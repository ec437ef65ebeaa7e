/** Tables that somebody else has locked: nothing but the table itself waits for them. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { TransactionInfo } from '../change-sink.ts'
import type { TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import { describeBlockers } from './replication-slot.ts'
import { describeHolders } from './table-locks.ts'
import { copiedRows, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

/** Notes when the stream was asked to stand still and to go on. */
class NotedStream {
  readonly calls: string[] = []
  #delivered: readonly TransactionInfo[]

  constructor(delivered: readonly TransactionInfo[] = []) {
    this.#delivered = delivered
  }

  get isHeld(): boolean {
    return this.calls.at(-1) === 'take'
  }

  async take(): Promise<readonly TransactionInfo[]> {
    this.calls.push('take')
    return this.#delivered
  }

  give(): void {
    this.calls.push('give')
  }
}

test('trap: while a copy waits for the lock of its table no other table stands still', async () => {
  await server.sql('create table l1 (id int primary key)')
  const source = sourceOf(server, { name: 'l1' })
  const table = await tableNamed(source, 'l1')
  await source.prepare([table], undefined)
  const holder = await server.connect()
  const [pid] = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
  await holder.query('begin; lock table l1')
  const stream = new NotedStream()
  const beganMs = performance.now()
  await expect(source.beginSnapshot(table, { delivered: [], stream })).rejects.toMatchObject({
    code: 'SOURCE_TABLE_LOCKED',
    message: expect.stringContaining(`process ${pid?.pid} `) as string,
  })
  // Other tables that are to be copied wait for this one.
  expect(performance.now() - beganMs).toBeLessThan(10_000)
  expect(stream.calls).toEqual([])
  const beginning = source.beginSnapshot(table, { delivered: [], stream })
  const waits = `select from pg_locks where relation = 'l1'::regclass and not granted`
  while ((await server.sql(waits)).length === 0);
  expect(stream.calls).toEqual([])
  await holder.query('commit')
  await holder.end()
  const copy = await beginning
  expect(stream.calls).toEqual(['take'])
  await copy.close()
  await source.dispose()
  await source.close()
})

test('trap: the stream goes on while a snapshot does not show what was delivered', async () => {
  await server.sql('create table l2 (id int primary key)')
  const source = sourceOf(server, { name: 'l2' })
  const table = await tableNamed(source, 'l2')
  await source.prepare([table], undefined)
  const writer = await server.connect()
  await writer.query('begin; insert into l2 values (1)')
  const [row] = (await writer.query<{ id: string }>('select pg_current_xact_id()::text as id')).rows
  // As if it waited for a synchronous standby: in the log, and not yet to be seen.
  const stream = new NotedStream([{ tag: Number(row?.id), commitTimeUs: 0n }])
  const beginning = source.beginSnapshot(table, { delivered: [], stream })
  while (!stream.calls.includes('give')) await server.sql('select pg_sleep(0.01)')
  await writer.query('commit')
  await writer.end()
  const copy = await beginning
  expect(stream.isHeld).toBe(true)
  await copy.close()
  await source.dispose()
  await source.close()
})

test('trap: a table that is locked while it is to be published is published later, and stops nobody', async () => {
  await server.sql(
    `create table p1 (id int primary key); create table p2 (id int primary key);
    create table p3 (id int primary key); create table p4 (id int primary key)`,
  )
  const source = sourceOf(server, { name: 'p' })
  const names = ['p1', 'p2', 'p3', 'p4']
  const tables = await Promise.all(names.map((name) => tableNamed(source, name)))
  const [free, locked] = tables
  if (free === undefined || locked === undefined) throw new Error('no tables')
  // As VACUUM, ANALYZE and CREATE INDEX CONCURRENTLY lock it.
  const holder = await server.connect()
  const [pid] = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
  await holder.query('begin; lock table p2, p3, p4 in share update exclusive mode')
  const beganMs = performance.now()
  const state = await source.prepare(tables, undefined)
  expect(performance.now() - beganMs).toBeLessThan(15_000)
  expect(await source.canBeginCopy(free)).toBe(true)
  const refused = {
    code: 'SOURCE_TABLE_LOCKED',
    message: expect.stringContaining(`process ${pid?.pid} `) as string,
  }
  await expect(source.canBeginCopy(locked)).rejects.toMatchObject(refused)
  await expect(source.beginSnapshot(locked, { delivered: [] })).rejects.toMatchObject(refused)
  const stream = startStream({ source, state, tables })
  await server.sql('insert into p1 values (1)')
  await stream.reach(await source.currentPosition())
  await expect(source.canBeginCopy(locked)).rejects.toMatchObject(refused)
  await holder.query('commit; insert into p2 values (1)')
  await holder.end()
  // Its stream has to begin anew, as one of any table that is published later.
  while (!(await source.canBeginCopy(locked))) {
    if ((await stream.ended) === 'renew') break
  }
  const second = startStream({ source, state: { position: stream.reached }, tables })
  await second.reach(await source.currentPosition())
  expect(await source.canBeginCopy(locked)).toBe(true)
  const copy = await source.beginSnapshot(locked, { delivered: [] })
  const copied = await copiedRows(copy, locked)
  expect(copied).toHaveLength(1)
  await server.sql('insert into p2 values (2)')
  await second.reach(await source.currentPosition())
  const rows = second.sink.transactions.flatMap((transaction) => transaction.rows)
  expect(rows.map(({ cells }) => cells[0])).toContain('2')
  await second.stop()
  await source.dispose()
  await source.close()
})

test('who holds a lock is told without what the server hides from our role', async () => {
  await server.sql('create table h1 (id int primary key); create role sees_little')
  const [table] = await server.sql(`select 'h1'::regclass::oid as oid`)
  const holder = await server.connect()
  await holder.query('begin; lock table h1; insert into h1 values (1)')
  const [session] = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
  const asker = await server.connect()
  const control = {
    query: async (text: string, values: readonly unknown[] = []) =>
      // As our own client reads it: every value is the server's text.
      (
        await asker.query<Record<string, string | null>>({
          text,
          values: [...values],
          types: { getTypeParser: () => (value: string) => value },
        })
      ).rows,
  } as unknown as Control
  const tableId = String(table?.['oid']) as TableId
  const seen = await describeHolders(control, tableId, 'read')
  expect(seen).toContain(`process ${session?.pid} (role postgres, idle in transaction, since 2`)
  // The same words while nothing changes: they are not told again each time.
  await server.sql('select pg_sleep(1.1)')
  expect(await describeHolders(control, tableId, 'read')).toBe(seen)
  await asker.query('set role sees_little')
  const told = await describeHolders(control, tableId, 'read')
  expect(told).toBe(
    `process ${session?.pid} (role postgres, pg_read_all_stats lets our role see more) holds AccessExclusiveLock`,
  )
  expect(await describeBlockers(control)).not.toContain('null')
  await asker.end()
  await holder.query('rollback')
  await holder.end()
})

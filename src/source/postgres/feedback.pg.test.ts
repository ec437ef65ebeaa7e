import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Position } from '../source.ts'
import { installScript, uninstallScript } from './ddl-trigger.ts'
import { fromPosition } from './position.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests()

const never = new AbortController().signal

async function confirmed(slot: string): Promise<string> {
  const sql = `select confirmed_flush_lsn::text as lsn from pg_replication_slots where slot_name = '${slot}'`
  return String((await server.sql(sql))[0]?.['lsn'])
}

test('trap: a sink that is blocked for longer than wal_sender_timeout does not cost the session', async () => {
  await server.sql('create table blocked (id int primary key, t text)')
  const source = sourceOf(server, { name: 'blocked', walSenderTimeoutMs: 600 })
  const table = await tableNamed(source, 'blocked')
  const state = await source.prepare([table], undefined)
  await server.sql(
    "insert into blocked select g, repeat('x', 500) from generate_series(1, 40000) g",
  )
  const sink = new RecordingSink()
  sink.pressureInside = new Promise((resolve) => setTimeout(resolve, 2000))
  const stream = startStream({ source, state, tables: [table], sink })
  await stream.reach(await source.currentPosition())
  expect(sink.transactions.flatMap(({ rows }) => rows)).toHaveLength(40_000)
  // One and the same session: a second one would have sent the transaction again.
  expect(sink.transactions).toHaveLength(1)
  await stream.stop()
  await source.dispose()
  await source.close()
})

test('trap: a keepalive in the middle of a transaction says nothing of what was delivered', async () => {
  await server.sql('create table middle (id int primary key, t text)')
  const source = sourceOf(server, { name: 'middle' })
  const tables = [await tableNamed(source, 'middle')]
  const state = await source.prepare(tables, undefined)
  await server.sql('create table unread as select 1 as id')
  await server.sql("insert into middle select g, repeat('x', 500) from generate_series(1, 40000) g")
  // The end is asked for all the time, and the server answers in between.
  const until = await source.currentPosition()
  const sink = new RecordingSink()
  sink.pressureInside = new Promise((resolve) => setTimeout(resolve, 400))
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  expect(sink.transactions.map(({ rows }) => rows.length)).toEqual([40_000])
  await source.dispose()
  await source.close()
})

/** Closes after the first transaction, and opens again when it is told to. */
class HeldSink extends RecordingSink {
  open: () => void = () => undefined

  override commit(position: Position): void {
    super.commit(position)
    if (this.transactions.length === 1) {
      this.nextPressure = new Promise((resolve) => (this.open = resolve))
    }
  }
}

test('no transaction begins while the sink holds the stream, not even one that was read with others', async () => {
  await server.sql('create table held (id int primary key)')
  const source = sourceOf(server, { name: 'held' })
  const table = await tableNamed(source, 'held')
  const state = await source.prepare([table], undefined)
  for (let id = 0; id < 50; id++) await server.sql(`insert into held values (${id})`)
  const sink = new HeldSink()
  const stream = startStream({ source, state, tables: [table], sink })
  await stream.until(() => sink.transactions.length > 0)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(sink.transactions).toHaveLength(1)
  sink.open()
  await stream.reach(await source.currentPosition())
  const ids = sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))
  expect(ids).toEqual(Array.from({ length: 50 }, (_, id) => String(id)))
  await stream.stop()
  await source.dispose()
  await source.close()
})

/** A `B` message of pgoutput in its frames: CopyData, XLogData. */
const beginHead = Buffer.from('6400000032' + '77', 'hex')
const [beginAt, beginBytes] = [30, 51]

/** Sends what follows on a begin only when `between` has resolved. */
function splitAtBegin(between: () => Promise<void>): Parameters<typeof startProxy>[1] {
  let last: Promise<void> = Promise.resolve()
  return {
    answer: (bytes, send) => {
      const at = bytes.indexOf(beginHead)
      const isSplit = at >= 0 && bytes[at + beginAt] === 'B'.charCodeAt(0)
      const end = isSplit ? at + beginBytes : bytes.length
      last = last.then(async () => {
        send(bytes.subarray(0, end))
        if (!isSplit) return
        await between()
        send(bytes.subarray(end))
      })
    },
  }
}

// Version 13 does not send what the triggers write: no begin is kept back.
test.runIf(postgresVersion >= 14)(
  'no transaction begins while the sink holds the stream, not even one whose begin is kept back',
  async () => {
    await server.sql(installScript(server.user))
    await server.sql('create table kept (id int primary key)')
    const sink = new RecordingSink()
    let [hold, open] = [(): void => undefined, (): void => undefined]
    const held = new Promise<void>((resolve) => (hold = resolve))
    const proxy = await startProxy(
      server,
      splitAtBegin(async () => {
        await new Promise((resolve) => setTimeout(resolve, 100))
        sink.nextPressure = new Promise((resolve) => (open = resolve))
        hold()
      }),
    )
    const source = sourceOf(server, { name: 'kept', connection: { port: String(proxy.port) } })
    const table = await tableNamed(source, 'kept')
    const state = await source.prepare([table], undefined)
    const stream = startStream({ source, state, tables: [table], sink })
    await server.sql('insert into kept values (1)')
    await held
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(sink.transactions).toEqual([])
    open()
    await stream.until(() => sink.transactions.length > 0)
    await stream.stop()
    await source.dispose()
    await source.close()
    await proxy.close()
    await server.sql(uninstallScript())
  },
)

/** Closes before every transaction, for as long as more of the log takes to arrive. */
class PausingSink extends RecordingSink {
  #isPaused = false

  override pressure(): Promise<void> | undefined {
    this.#isPaused = !this.#isPaused
    return this.#isPaused ? new Promise((resolve) => setTimeout(resolve, 2)) : undefined
  }
}

test('trap: a message that waits for the sink is not overwritten by what arrives meanwhile', async () => {
  await server.sql('create table moved (id int primary key, t text)')
  const source = sourceOf(server, { name: 'moved' })
  const table = await tableNamed(source, 'moved')
  const state = await source.prepare([table], undefined)
  await server.sql(`do $$ begin for id in 1..600 loop
    insert into moved values (id, repeat(chr(97 + id % 26), 6000)); commit; end loop; end $$`)
  const sink = new PausingSink()
  const stream = startStream({ source, state, tables: [table], sink })
  await stream.reach(await source.currentPosition())
  const rows = sink.transactions.flatMap((transaction) => transaction.rows)
  expect(rows.map(({ cells }) => cells[0])).toEqual(
    Array.from({ length: 600 }, (_, index) => String(index + 1)),
  )
  await stream.stop()
  await source.dispose()
  await source.close()
})

test('trap: what is acknowledged right before the end is told to the server', async () => {
  await server.sql('create table final (id int primary key)')
  const source = sourceOf(server, { name: 'final' })
  const table = await tableNamed(source, 'final')
  const state = await source.prepare([table], undefined)
  const stream = startStream({ source, state, tables: [table] })
  await server.sql('insert into final values (1)')
  const end = await source.currentPosition()
  await stream.reach(end)
  source.acknowledge(end)
  await stream.stop()
  expect(await confirmed('final')).toBe(end)
  await source.dispose()
  await source.close()
})

test('a heartbeat shows the way through the log, and a blocked stream in its age', async () => {
  await server.sql('create table beat (id int primary key, t text)')
  const source = sourceOf(server, { name: 'beat', heartbeatIntervalMs: 30 })
  const table = await tableNamed(source, 'beat')
  const state = await source.prepare([table], undefined)
  expect((await source.health()).roundTripMs).toBeUndefined()
  const sink = new RecordingSink()
  const stream = startStream({ source, state, tables: [table], sink })
  // Nobody writes but the heartbeat, and no change comes of it.
  await stream.until(() => sink.heartbeats.length > 3)
  const { roundTripMs } = await source.health()
  expect(roundTripMs).toBeGreaterThanOrEqual(0)
  expect(sink.transactions).toEqual([])
  let release = (): void => undefined
  sink.nextPressure = new Promise((resolve) => (release = resolve))
  const isLate = async (): Promise<boolean> => ((await source.health()).roundTripMs ?? 0) > 300
  while (!(await isLate()));
  release()
  await stream.reach(await source.currentPosition())
  expect(fromPosition(sink.heartbeats.at(-1) ?? state.position)).toBeGreaterThan(0n)
  await stream.stop()
  await source.dispose()
  await source.close()
})

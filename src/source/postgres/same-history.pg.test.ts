/** A server that was set back to a copy of its files has the same system identifier and timeline. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../observe/log.ts'
import type { Position, SourceState } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { createControl } from './control.ts'
import { fromPosition } from './position.ts'
import type { PostgresSource } from './postgres-source.ts'
import { readSlot } from './replication-slot.ts'
import { expectSameHistory } from './same-history.ts'
import { connectionOptions, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const run = promisify(execFile)

let server: EmbeddedPostgres

beforeAll(async () => {
  const settings = { autovacuum: 'off', logical_decoding_work_mem: '64kB' }
  server = await startEmbeddedPostgres({ settings })
})

afterAll(async () => await server.stop())

interface World {
  readonly source: PostgresSource
  readonly tables: readonly SourceTable[]
  readonly state: SourceState
}

/** Table `name` (id, v) and its reader. */
async function world(name: string): Promise<World> {
  await server.sql(`create table ${name} (id int primary key, v text)`)
  const source = sourceOf(server, { name })
  const tables = [await tableNamed(source, name)]
  return { source, tables, state: await source.prepare(tables, undefined) }
}

/** Reads all there is, acknowledges none of it. */
async function readOn({ source, tables }: World, from: Position): Promise<Position> {
  const stream = startStream({ source, tables, state: { position: from } })
  await stream.reach(await source.currentPosition())
  const { reached } = stream
  await stream.stop()
  return reached
}

/** Keeps the files of the server as they are now; the function that comes back puts them there again. */
async function keepFiles(): Promise<() => Promise<void>> {
  const data = join(server.folder, 'data')
  const kept = join(server.folder, 'kept')
  await server.shutdown()
  await run('cp', ['-a', data, kept])
  await server.start()
  return async () => {
    await server.shutdown()
    await run('rm', ['-r', data])
    await run('mv', [kept, data])
    await server.start()
  }
}

const read = [
  { name: 's1', what: 'changes were read', sql: "insert into s1 values (2, 'first life')" },
  { name: 's2', what: 'the log went on', sql: 'create table other (id int); drop table other' },
]

test.each(read)('trap: the server was set back to before $what', async ({ name, sql }) => {
  const place = await world(name)
  const { source, tables, state } = place
  await server.sql(`insert into ${name} values (1, 'base')`)
  const base = await readOn(place, state.position)
  const setBack = await keepFiles()
  await server.sql(sql)
  const position = await readOn(place, base)
  expect(fromPosition(position)).toBeGreaterThan(fromPosition(base))
  await setBack()
  await server.sql(`insert into ${name} values (3, 'second life')`)
  while (fromPosition(await source.currentPosition()) <= fromPosition(position)) {
    await server.sql('create table filler as select generate_series(1, 1000) a; drop table filler')
  }
  await server.sql(`insert into ${name} values (4, 'later')`)
  await expect(source.prepare(tables, { ...state, position })).rejects.toMatchObject({
    code: 'SOURCE_INCARNATION_CHANGED',
  })
  // What was read before the files were kept is the same in both.
  const prepared = await source.prepare(tables, { ...state, position: base })
  expect(prepared.position).toBe(base)
  await source.dispose()
  await source.close()
})

const many = "select n, repeat('x', 100) from generate_series(2, 5000) n"
const last = [
  { name: 'c1', what: 'a change', sql: "insert into c1 values (2, 'b')" },
  {
    name: 'c2',
    what: 'a change, and log without any',
    sql: "insert into c2 values (2, 'b'); create table c2b ()",
  },
  { name: 'c3', what: 'a message', sql: "select pg_logical_emit_message(true, 'app', 'x')" },
  { name: 'c4', what: 'a truncate', sql: 'truncate c4' },
  {
    name: 'c5',
    what: 'a rollback',
    sql: "begin; insert into c5 values (2, 'b'); rollback",
  },
  { name: 'c6', what: 'a transaction sent while in progress', sql: `insert into c6 ${many}` },
  {
    name: 'c7',
    what: 'a rollback to a savepoint',
    sql: `begin; savepoint a; insert into c7 ${many}; rollback to a; commit`,
  },
]

test.each(last)('a server that crashed after $what is the same', async ({ name, sql }) => {
  const place = await world(name)
  const { source, tables, state } = place
  await server.sql(`insert into ${name} values (1, 'a')`)
  await server.sql(sql)
  const position = await readOn(place, state.position)
  await server.crash()
  await server.start()
  await server.sql(`insert into ${name} values (9999, 'later')`)
  const prepared = await source.prepare(tables, { ...state, position })
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  const signal = new AbortController().signal
  await source.streamChanges({ from: prepared.position, until, tables, sink, signal })
  const ids = sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))
  expect(ids).toEqual(['9999'])
  await source.dispose()
  await source.close()
})

test('trap: a comparison that is cut off is none: it is made again, and nothing is read before', async () => {
  const place = await world('b1')
  const { source, tables, state } = place
  await server.sql("insert into b1 values (1, 'a')")
  const position = await readOn(place, state.position)
  await server.crash()
  await server.start()
  let [isReading, isCut] = [false, false]
  let ending: Promise<unknown> | undefined
  const proxy = await startProxy(server, {
    rewriteAll: (bytes) => {
      isReading ||= bytes.includes('START_REPLICATION')
      return bytes
    },
    answer: (bytes, send) => {
      // Of the stream itself nothing arrives.
      isCut ||= bytes.includes('57P01')
      if (!isReading || isCut) send(bytes)
      else ending ??= server.sql('select pg_terminate_backend(pid) from pg_stat_replication')
    },
  })
  const cut = sourceOf(server, { name: 'b1', connection: { port: String(proxy.port) } })
  await expect(cut.prepare(tables, { ...state, position })).rejects.toMatchObject({
    code: 'SOURCE_CONNECTION_LOST',
  })
  await ending
  await cut.close()
  await proxy.close()
  expect((await source.prepare(tables, { ...state, position })).position).toBe(position)
  await source.dispose()
  await source.close()
})

test('trap: a log that could not be looked at is not taken for the same', async () => {
  const place = await world('busy')
  const { source, tables, state } = place
  await server.sql("insert into busy values (1, 'a')")
  const position = await readOn(place, state.position)
  await server.sql("create role walker login password 'walker'")
  const options = parsePostgresOptions(connectionOptions(server))
  const control = createControl(options)
  const slot = await readSlot(control, 'busy')
  if (slot === undefined) throw new Error('no slot')
  const how = {
    control,
    clock: systemClock,
    log: silentLog,
    slotName: 'busy',
    publicationName: 'busy',
    slotWaitMs: 1000,
    serverVersion: postgresVersion * 10_000,
  }
  const refused = parsePostgresOptions({
    ...connectionOptions(server),
    user: 'walker',
    password: 'walker',
  })
  await expect(
    expectSameHistory({ ...how, options: refused }, position, slot),
  ).rejects.toMatchObject({ code: expect.stringMatching(/^SOURCE_/) as string })
  expect(await expectSameHistory({ ...how, options }, position, slot)).toBe(true)
  await control.close()
  expect((await source.prepare(tables, { ...state, position })).position).toBe(position)
  await source.dispose()
  await source.close()
})

/** What is told of a slot whose log the server is about to remove, or will not read on from. */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { SourceState } from '../source.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const ends: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const end of ends.splice(0).toReversed()) await end()
})

const never = new AbortController().signal

async function prepared(
  settings: Readonly<Record<string, string>>,
): Promise<{ server: EmbeddedPostgres; source: PostgresSource; state: SourceState }> {
  const server = await startEmbeddedPostgres({ settings })
  ends.push(async () => await server.stop())
  await server.sql('create table h (id int primary key)')
  const source = sourceOf(server, { name: 'h' })
  ends.push(async () => await source.close())
  const state = await source.prepare([await tableNamed(source, 'h')], undefined)
  return { server, source, state }
}

/** One segment of 16 MiB each. */
async function fillLog(server: EmbeddedPostgres, segments: number): Promise<void> {
  for (let n = 0; n < segments; n++) {
    await server.sql("select pg_logical_emit_message(false, 'test', '')")
    await server.sql('select pg_switch_wal()')
  }
}

async function idsFrom(source: PostgresSource, state: SourceState): Promise<unknown[]> {
  const sink = new RecordingSink()
  const tables = [await tableNamed(source, 'h')]
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables, sink, signal: never })
  return sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))
}

test('trap: a limit that is used up is told while everything can still be saved', async () => {
  const { server, source, state } = await prepared({ max_slot_wal_keep_size: '48MB' })
  const before = await source.health()
  expect(before.budgetBytes).toBeGreaterThan(0n)
  expect(before.stall).toBeUndefined()
  await server.sql('insert into h values (1)')
  await fillLog(server, 5)
  const { budgetBytes, retainedBytes, stall } = await source.health()
  expect(retainedBytes).toBeGreaterThan(48n * 1024n * 1024n)
  expect(budgetBytes).toBeLessThanOrEqual(0n)
  expect(stall).toMatchObject({ code: 'SOURCE_LOG_RETENTION' })
  expect(stall?.message).toContain('48MB')
  const findings = await source.check(undefined)
  expect(findings.map(({ code }) => code)).toContain('SOURCE_LOG_RETENTION')
  for (const statement of (stall?.remedy ?? '').split(';')) await server.sql(statement)
  while ((await source.health()).stall !== undefined);
  await server.sql('checkpoint')
  expect(await idsFrom(source, state)).toEqual(['1'])
})

test('trap: a limit that was used up at a checkpoint ends with its own reason', async () => {
  const { server, source, state } = await prepared({ max_slot_wal_keep_size: '48MB' })
  await server.sql('insert into h values (1)')
  await fillLog(server, 5)
  await server.sql('checkpoint')
  const lost = {
    code: 'SOURCE_LOG_LOST',
    message: expect.stringContaining('wal_removed'),
    remedy: expect.stringMatching(/max_slot_wal_keep_size.*sluice refresh --all --full/),
  }
  expect((await source.health()).stall).toMatchObject(lost)
  await expect(source.prepare([await tableNamed(source, 'h')], state)).rejects.toMatchObject(lost)
})

const idleTimeout = async (): Promise<void> => {
  const { server, source, state } = await prepared({ idle_replication_slot_timeout: '1s' })
  await server.sql('insert into h values (1)')
  const idle = `select from pg_replication_slots where invalidation_reason = 'idle_timeout'`
  while ((await server.sql(idle)).length === 0) await server.sql('checkpoint')
  const lost = {
    code: 'SOURCE_LOG_LOST',
    message: expect.stringContaining('idle_timeout'),
    remedy: expect.stringMatching(/idle_replication_slot_timeout = 0.*sluice refresh --all --full/),
  }
  expect((await source.health()).stall).toMatchObject(lost)
  const tables = [await tableNamed(source, 'h')]
  await expect(source.prepare(tables, state)).rejects.toMatchObject(lost)
  // What the remedy ends with: everything anew, through a new slot.
  const anew = await source.prepare(tables, undefined)
  await server.sql('insert into h values (2)')
  expect(await idsFrom(source, anew)).toEqual(['2'])
}

// Servers before 18 wait for a reader for ever.
if (postgresVersion >= 18) test('trap: a slot that nobody read for too long', idleTimeout)

test('a server with a slot does not start with a lower wal_level, and nothing is lost', async () => {
  const { server, source, state } = await prepared({})
  await server.sql('insert into h values (1)')
  await server.sql('alter system set wal_level = replica')
  await server.shutdown()
  await expect(server.start()).rejects.toThrow()
  // As its log says: the last line counts.
  await appendFile(join(server.folder, 'data', 'postgresql.auto.conf'), "wal_level = 'logical'\n")
  await server.start()
  expect(await idsFrom(source, state)).toEqual(['1'])
})

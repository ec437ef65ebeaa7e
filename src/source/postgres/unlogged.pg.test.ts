/** Tables that become unlogged while they are followed, which the server allows unless a publication names them. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
})

afterAll(async () => await server.stop())

test('a publication of ours names its tables, so the server refuses', async () => {
  await server.sql('create table u0 (id int primary key)')
  const source = sourceOf(server, { name: 'u0' })
  await source.prepare([await tableNamed(source, 'u0')], undefined)
  await expect(server.sql('alter table u0 set unlogged')).rejects.toThrow('publication')
  await source.dispose()
  await source.close()
})

test('trap: a table of a publication of all tables becomes unlogged', async () => {
  await server.sql('create table u1 (id int primary key); create publication u1 for all tables')
  const source = sourceOf(server, { name: 'u1', watchIntervalMs: 20 })
  const table = await tableNamed(source, 'u1')
  const state = await source.prepare([table], undefined)
  const running = startStream({ source, state, tables: [table] })
  await server.sql('insert into u1 values (1)')
  await running.until(() => running.sink.transactions.length > 0)
  await server.sql('alter table u1 set unlogged; insert into u1 values (2)')
  // What the sink does then is a new copy, which is refused until the table is logged again.
  await running.until(() => running.sink.schemas.length > 0)
  await expect(source.beginSnapshot(table, { delivered: [] })).rejects.toMatchObject({
    code: 'SOURCE_TABLE_UNSUPPORTED',
    remedy: 'ALTER TABLE "public"."u1" SET LOGGED;',
  })
  await running.stop()
  await source.dispose()
  await source.close()
})

test('trap: a partition of a publication of all tables becomes unlogged', async () => {
  await server.sql(`create table u2 (id int primary key) partition by range (id);
    create table u2_1 partition of u2 for values from (0) to (10);
    create publication u2 for all tables`)
  const source = sourceOf(server, { name: 'u2', watchIntervalMs: 20 })
  const table = await tableNamed(source, 'u2')
  const state = await source.prepare([table], undefined)
  const running = startStream({ source, state, tables: [table] })
  await server.sql('alter table u2_1 set unlogged; insert into u2 values (2)')
  await running.until(() => running.sink.gaps.length > 0)
  const findings = (await source.check([table])).filter((one) => one.table !== undefined)
  expect(findings.map(({ code }) => code)).toEqual(['SOURCE_TABLE_UNSUPPORTED'])
  await running.stop()
  await source.dispose()
  await source.close()
})

/** Partitions whose updates the server would refuse once their root is published. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'

const server = serverForTests({ settings: { fsync: 'off', synchronous_commit: 'off' } })

async function made(name: string): Promise<PostgresSource> {
  await server.sql(`
    create table ${name} (a int, v text) partition by range (a);
    create table ${name}_1 partition of ${name} for values from (0) to (10);
    alter table ${name} replica identity full; alter table ${name}_1 replica identity full;
    insert into ${name} values (1, 'one'), (1, 'one')`)
  return sourceOf(server, { name, watchIntervalMs: 20 })
}

async function membersOf(name: string): Promise<unknown> {
  return await server.sql(
    `select tablename::text as name from pg_publication_tables where pubname = '${name}' order by 1`,
  )
}

test('trap: a new partition without an identity does not keep the application from its updates', async () => {
  const source = await made('born')
  const table = await tableNamed(source, 'born')
  const state = await source.prepare([table], undefined)
  const stream = startStream({ source, state, tables: [table] })
  await stream.reach(await source.currentPosition())
  // It does not inherit the identity of its root.
  await server.sql(`create table born_2 partition of born for values from (10) to (20)`)
  await server.sql(`insert into born values (11, 'eleven')`)
  await expect.poll(async () => await membersOf('born'), { timeout: 10_000 }).toEqual([])
  await server.sql(`update born set v = 'changed' where a = 11; delete from born_2`)
  await stream.until(() => stream.sink.gaps.length > 0)
  expect(new Set(stream.sink.gaps.map((gap) => gap.table))).toEqual(new Set([table.id]))
  // To publish it would break the application once more.
  await expect(source.beginSnapshot(table, { delivered: [] })).rejects.toMatchObject({
    code: 'SOURCE_REPLICA_IDENTITY',
    remedy: 'ALTER TABLE "public"."born_2" REPLICA IDENTITY FULL;',
  })
  await server.sql('alter table born_2 replica identity full')
  await expect
    .poll(async () => await membersOf('born'), { timeout: 10_000 })
    .toEqual([{ name: 'born_1' }, { name: 'born_2' }])
  await stream.stop()
  await source.dispose()
  await source.close()
})

test('trap: what has a partition without an identity is not published for a moment', async () => {
  const source = await made('kept')
  await server.sql(`create table plain (id int primary key);
    create table kept_2 partition of kept for values from (10) to (20);
    create table seen (what text); create function note() returns event_trigger language plpgsql as
      $$ begin insert into public.seen select object_identity from pg_event_trigger_ddl_commands()
        where object_type = 'publication relation'; end $$;
    create event trigger noted on ddl_command_end execute function note()`)
  const tables = [await tableNamed(source, 'kept'), await tableNamed(source, 'plain')]
  await source.prepare(tables, undefined)
  expect(await membersOf('kept')).toEqual([{ name: 'plain' }])
  expect(await server.sql('select what from seen')).toEqual([
    { what: expect.stringContaining('plain') as string },
  ])
  await server.sql('drop event trigger noted')
  await source.dispose()
  await source.close()
})

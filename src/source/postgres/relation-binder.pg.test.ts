/** What the stream announces, when the catalog has gone further meanwhile. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { copiedRows, sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

test('trap: a domain over a domain is announced by its own id, and is its innermost base', async () => {
  await server.sql(`create domain inner_number as int; create domain outer_number as inner_number;
    create table d1 (id int primary key, n outer_number)`)
  const source = sourceOf(server, { name: 'd1' })
  const table = await tableNamed(source, 'd1')
  expect(table.schema.columns[1]?.type).toEqual({ kind: 'int32' })
  const state = await source.prepare([table], undefined)
  await server.sql('insert into d1 values (1, 7)')
  // Its columns are no more those that the catalog has: each is looked up by its type.
  await server.sql('alter table d1 add more outer_number; insert into d1 values (2, 8, 9)')
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  const { signal } = new AbortController()
  await source.streamChanges({ from: state.position, until, tables: [table], sink, signal })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells))).toEqual([
    ['1', '7'],
    ['2', '8', '9'],
  ])
  expect(sink.gaps).toEqual([])
  expect(sink.schemas.map(({ schema }) => schema.columns.map(({ type }) => type.kind))).toEqual([
    ['int32', 'int32', 'int32'],
  ])
  await source.dispose()
  await source.close()
})

test('trap: rows of a table that inherits are not rows of its parent, in a copy neither', async () => {
  await server.sql(`create table i1 (id int primary key, t text);
    create table i1_child (primary key (id)) inherits (i1);
    insert into i1 select g, repeat('x', 500) from generate_series(1, 2000) g; insert into i1_child values (1, 'of the child');
    analyze i1, i1_child`)
  const source = sourceOf(server, { name: 'i1', snapshotChunkBytes: 200_000 })
  const table = await tableNamed(source, 'i1')
  const state = await source.prepare([table], undefined)
  const snapshot = await source.beginSnapshot(table, { delivered: [] })
  // Before 14 a range of ctids is no range of blocks to the server.
  expect(snapshot.chunks.length > 1).toBe(postgresVersion >= 14)
  const { signal } = new AbortController()
  const copied = await copiedRows(snapshot, table)
  expect(copied).toHaveLength(2000)
  await server.sql(
    `insert into i1_child values (3000, 'of the child'); update i1 set t = 'new' where id in (1, 3000)`,
  )
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables: [table], sink, signal })
  expect(
    sink.transactions.flatMap(({ rows }) => rows.map(({ op, cells }) => [op, ...cells])),
  ).toEqual([['u', '1', 'new']])
  await source.dispose()
  await source.close()
})

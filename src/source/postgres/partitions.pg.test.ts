/** Partitioned tables: rows of partitions as rows of their root, and what moves rows without an event. */
import { describe, expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { SourceState } from '../source.ts'
import type { PostgresSourceOptions } from './postgres-source-options.ts'
import {
  copyOf,
  eventsOf,
  partitionScene,
  type PartitionScene,
  settled,
  stream,
} from './testing/partition-fixture.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests()

const never = new AbortController().signal

const sceneOf = async (
  more: Partial<PostgresSourceOptions> = {},
  setup = '',
): Promise<PartitionScene> => await partitionScene(server, more, setup)

/** The session ends, and the next begins with what the source remembers. */
async function resumed(scene: PartitionScene, state: SourceState): Promise<SourceState> {
  const { source, table } = scene
  const position = await source.currentPosition()
  return await source.prepare([table], {
    incarnation: source.remember?.(state.incarnation) ?? state.incarnation,
    position,
  })
}

test('every partition is copied and followed as its root: other order of columns, levels, default', async () => {
  const scene = await sceneOf(
    {},
    `create table $_3 (gone int, t text, also_gone text, id int not null);
    alter table $_3 drop gone, drop also_gone;
    alter table $ attach partition $_3 for values from (200) to (300);
    create table $_rest partition of $ default partition by range (id);
    create table $_rest_a partition of $_rest for values from (1000) to (2000);
    create table $_rest_b partition of $_rest default;`,
  )
  const { table, sql } = scene
  expect(table).toMatchObject({ isPartitioned: true, schema: { key: ['id'] } })
  await sql(`insert into $ values (1, 'a'), (101, 'b'), (201, 'c'), (1001, 'd'), (5000, 'e')`)
  const running = stream(scene)
  const inserted = ['i 1 a', 'i 101 b', 'i 201 c', 'i 1001 d', 'i 5000 e']
  expect(await eventsOf(scene, running)).toEqual(inserted)
  expect(await copyOf(scene)).toEqual(['1 a', '1001 d', '101 b', '201 c', '5000 e'])
  await sql(`update $ set t = 'x' where id = 201; delete from $ where id = 1001`)
  await sql(`update $ set id = 202 where id = 201`)
  const changed = ['u 201 x', 'd 1001 -', 'd 201 -', 'i 202 x']
  expect(await eventsOf(scene, running)).toEqual([...inserted, ...changed])
  expect(running.sink.gaps).toEqual([])
  await running.stop()
  await scene.end()
})

test('trap: a row that moves to another partition is a delete and an insert of one transaction', async () => {
  const scene = await sceneOf({}, `insert into $ values (1, 'a')`)
  const running = stream(scene)
  await scene.sql(`update $ set id = 150, t = 'b' where id = 1`)
  expect(await eventsOf(scene, running)).toEqual(['d 1 -', 'i 150 b'])
  expect(running.sink.transactions).toHaveLength(1)
  expect(running.sink.transactions[0]?.rows.map(({ table }) => table)).toEqual([
    scene.name,
    scene.name,
  ])
  await running.stop()
  await scene.end()
})

test('a column added to the table is announced as that of the root, whichever partition comes first', async () => {
  const scene = await sceneOf()
  const running = stream(scene)
  await scene.sql(`insert into $ values (1, 'a'), (101, 'b'); alter table $ add more int`)
  await scene.sql(`insert into $ values (102, 'c', 3), (2, 'd', 4)`)
  expect((await eventsOf(scene, running)).slice(2)).toEqual(['i 102 c 3', 'i 2 d 4'])
  for (const { id, name, schema } of running.sink.schemas) {
    expect({ id, name }).toEqual({ id: scene.table.id, name: scene.table.name })
    expect(schema.columns.map((column) => [column.name, column.id])).toEqual([
      ['id', '1'],
      ['t', '2'],
      ['more', '3'],
    ])
  }
  expect(running.sink.schemas.length).toBeGreaterThan(0)
  await running.stop()
  await scene.end()
})

describe('TRUNCATE', () => {
  test('of the table empties it', async () => {
    const scene = await sceneOf()
    const running = stream(scene)
    await scene.sql(`insert into $ values (1, 'a'); truncate $`)
    await scene.sql(`insert into $ values (101, 'b')`)
    expect(await eventsOf(scene, running)).toEqual(['i 1 a', 'truncate', 'i 101 b'])
    expect(running.sink.gaps).toEqual([])
    await running.stop()
    await scene.end()
  })

  test('trap: of one partition is a gap, not the end of all rows', async () => {
    const scene = await sceneOf()
    const running = stream(scene)
    await scene.sql(`insert into $ values (1, 'a'), (101, 'b')`)
    await scene.sql('truncate $_1')
    expect(await eventsOf(scene, running)).toEqual(['i 1 a', 'i 101 b'])
    expect(running.sink.gaps).toMatchObject([{ table: scene.table.id }])
    await running.stop()
    await scene.end()
  })

  test('trap: of all partitions that were known, when rows came of another one since', async () => {
    const scene = await sceneOf({ watchIntervalMs: 3_600_000 })
    const running = stream(scene)
    await scene.sql(`create table $_3 partition of $ for values from (200) to (300)`)
    await scene.sql(`insert into $ values (1, 'a'), (201, 'b')`)
    await scene.sql('truncate $_1, $_2')
    expect(await eventsOf(scene, running)).toEqual(['i 1 a', 'i 201 b'])
    expect(running.sink.gaps).toMatchObject([{ table: scene.table.id }])
    await running.stop()
    await scene.end()
  })

  test('trap: of a partition that a publication by the root does not show', async () => {
    await server.sql(`create table viaroot (id int primary key, t text) partition by range (id);
      create table viaroot_1 partition of viaroot for values from (0) to (100);
      create table viaroot_2 partition of viaroot for values from (100) to (200);
      create publication viaroot for table viaroot with (publish_via_partition_root = true);
      insert into viaroot values (1, 'a'), (101, 'b')`)
    const source = sourceOf(server, { name: 'viaroot', watchIntervalMs: 20 })
    const table = await tableNamed(source, 'viaroot')
    const state = await source.prepare([table], undefined)
    const running = startStream({ source, state, tables: [table] })
    await server.sql(`update viaroot set id = 102 where id = 1`)
    await running.until(() => running.sink.transactions.length > 0)
    expect(running.sink.transactions[0]?.rows.map(({ op }) => op)).toEqual(['d', 'i'])
    await server.sql('truncate viaroot_1')
    await running.until(() => running.sink.gaps.length > 0)
    expect(running.sink.gaps).toMatchObject([{ table: table.id }])
    await running.stop()
    await source.dispose()
    await source.close()
  })
})

describe('partitions that come', () => {
  test('empty are followed at once, without a gap', async () => {
    const scene = await sceneOf()
    const running = stream(scene)
    await scene.sql('create table $_3 partition of $ for values from (200) to (300)')
    await scene.sql(`create table $_4 (t text, id int primary key);
      alter table $ attach partition $_4 for values from (300) to (400)`)
    await scene.sql(`insert into $ values (201, 'a'), (301, 'b'); delete from $ where id = 201`)
    expect(await eventsOf(scene, running)).toEqual(['i 201 a', 'i 301 b', 'd 201 -'])
    await settled(scene, running)
    await running.stop()
    const next = stream(scene, await resumed(scene, scene.state))
    await scene.sql(`insert into $ values (302, 'c')`)
    expect(await eventsOf(scene, next)).toEqual(['i 302 c'])
    expect([...running.sink.gaps, ...next.sink.gaps]).toEqual([])
    await next.stop()
    await scene.end()
  })

  test('while nobody read, and filled since, are no gap: the log has every row', async () => {
    const scene = await sceneOf()
    await scene.sql(`begin; create table $_3 (like $ including all);
      alter table $ attach partition $_3 for values from (200) to (300); commit;`)
    await scene.sql(`insert into $ select g, 'a' from generate_series(200, 250) g`)
    await scene.sql(`insert into $ values (251, 'b')`)
    const state = await scene.source.prepare([scene.table], scene.state)
    const running = stream(scene, state)
    expect(await eventsOf(scene, running)).toHaveLength(52)
    await running.stop()
    const next = stream(scene, await resumed(scene, state))
    expect(await eventsOf(scene, next)).toEqual([])
    expect([...running.sink.gaps, ...next.sink.gaps]).toEqual([])
    await next.stop()
    await scene.end()
  })

  test('trap: with rows of before are a gap, seen by the watch', async () => {
    const scene = await sceneOf()
    const running = stream(scene)
    await scene.sql(
      `create table $_3 (t text, id int primary key); insert into $_3 values ('a', 201)`,
    )
    await scene.sql('alter table $ attach partition $_3 for values from (200) to (300)')
    await running.until(() => running.sink.gaps.length > 0)
    expect(running.sink.gaps).toMatchObject([{ table: scene.table.id }])
    await running.stop()
    await scene.end()
  })

  test('trap: with rows of before are a gap, while nobody read, told again until it is kept', async () => {
    const scene = await sceneOf()
    const { source, table, state } = scene
    await scene.sql(
      `create table $_3 (t text, id int primary key); insert into $_3 values ('a', 201)`,
    )
    await scene.sql('alter table $ attach partition $_3 for values from (200) to (300)')
    await scene.sql(`insert into $ values (202, 'b')`)
    const known = await source.prepare([table], state)
    const running = stream(scene, known)
    // Older servers go on taking the partition for the table that it was.
    expect(await eventsOf(scene, running)).toEqual(postgresVersion >= 15 ? ['i 202 b'] : [])
    await running.until(() => running.sink.gaps.length > 0)
    await running.stop()
    // What was not kept is told again, what was kept is not.
    const again = stream(scene, await source.prepare([table], state))
    await again.until(() => again.sink.gaps.length > 0)
    await again.stop()
    const next = stream(scene, await resumed(scene, state))
    expect(await eventsOf(scene, next)).toEqual([])
    expect(next.sink.gaps).toEqual([])
    await next.stop()
    await scene.end()
  })

  test.each([
    ['before it, too', `alter table $ attach partition $_3 for values from (200) to (300)`],
    [
      'before it, in another subtransaction',
      `savepoint a; alter table $ attach partition $_3 for values from (200) to (300); release a`,
    ],
  ])('trap: filled by the transaction that attached them, %s, are a gap', async (_how, attach) => {
    const scene = await sceneOf()
    await scene.sql(`begin; create table $_3 (t text, id int primary key);
      insert into $_3 values ('a', 201); ${attach}; insert into $ values (202, 'b'); commit`)
    const running = stream(scene, await scene.source.prepare([scene.table], scene.state))
    await running.until(() => running.sink.gaps.length > 0)
    await running.stop()
    await scene.end()
  })

  test('filled and changed in subtransactions since are no gap', async () => {
    const scene = await sceneOf()
    await scene.sql(`create table $_3 partition of $ for values from (200) to (300)`)
    await scene.sql(`begin; savepoint a; insert into $ select g, 'a' from generate_series(190, 250) g;
      savepoint b; delete from $ where id = 220; rollback to b; update $ set id = 150 where id = 202;
      commit`)
    await scene.sql(`update $ set t = 'b' where id = 210; delete from $ where id = 211`)
    const running = stream(scene, await scene.source.prepare([scene.table], scene.state))
    await eventsOf(scene, running)
    await running.stop()
    const next = stream(scene, await resumed(scene, scene.state))
    await eventsOf(scene, next)
    expect([...running.sink.gaps, ...next.sink.gaps]).toEqual([])
    await next.stop()
    await scene.end()
  })

  test('made and filled by one transaction are no gap', async () => {
    const scene = await sceneOf()
    await scene.sql(`begin; create table $_3 partition of $ for values from (200) to (300);
      insert into $ values (202, 'b'); commit`)
    const running = stream(scene, await scene.source.prepare([scene.table], scene.state))
    expect(await eventsOf(scene, running)).toEqual(['i 202 b'])
    await running.stop()
    const next = stream(scene, await resumed(scene, scene.state))
    expect(await eventsOf(scene, next)).toEqual([])
    expect([...running.sink.gaps, ...next.sink.gaps]).toEqual([])
    await next.stop()
    await scene.end()
  })

  test('trap: whose older row is updated since are a gap: the update is of a row that never came', async () => {
    const scene = await sceneOf()
    await scene.sql(`create table $_3 (t text, id int primary key); insert into $_3 values ('a', 201);
      alter table $ attach partition $_3 for values from (200) to (300)`)
    await scene.sql(`update $ set t = 'b' where id = 201`)
    const running = stream(scene, await scene.source.prepare([scene.table], scene.state))
    await running.until(() => running.sink.gaps.length > 0)
    await running.stop()
    await scene.end()
  })

  if (postgresVersion >= 15) {
    test('trap: between the lock of a copy and its snapshot are part of the copy', async () => {
      const scene = await sceneOf({}, `insert into $ values (1, 'a')`)
      await scene.sql(`create table $_3 (t text, id int primary key); insert into $_3 values ('b', 201);
      alter table $ attach partition $_3 for values from (200) to (300)`)
      expect(await copyOf(scene)).toEqual(['1 a', '201 b'])
      // The copy shows the partition, so its coming is no gap any more.
      const running = stream(scene)
      await scene.sql(`insert into $ values (202, 'c')`)
      expect(await eventsOf(scene, running)).toEqual(['i 202 c'])
      expect(running.sink.gaps).toEqual([])
      await running.stop()
      await scene.end()
    })
  } else {
    test('trap: that the session of the stream knew as tables of their own: no copy before it began anew', async () => {
      const scene = await sceneOf({ watchIntervalMs: 3_600_000 }, `insert into $ values (1, 'a')`)
      const running = stream(scene)
      await scene.sql(
        `create table $_3 (t text, id int primary key); insert into $_3 values ('b', 201)`,
      )
      await scene.sql(`alter table $ attach partition $_3 for values from (200) to (300)`)
      await expect(copyOf(scene)).rejects.toMatchObject({ code: 'SOURCE_TABLE_CHANGED' })
      expect(await scene.source.canBeginCopy(scene.table)).toBe(false)
      // Whoever asks, asks again until the session that knows better has begun.
      while ((await Promise.race([running.ended, Promise.resolve('open')])) === 'open') {
        await scene.source.canBeginCopy(scene.table)
        await scene.source.currentPosition()
      }
      expect(await running.ended).toBe('renew')
      const position = await scene.source.currentPosition()
      const next = stream(scene, { ...scene.state, position })
      expect(await scene.source.canBeginCopy(scene.table)).toBe(true)
      expect(await copyOf(scene)).toEqual(['1 a', '201 b'])
      await scene.sql(`insert into $ values (202, 'c')`)
      expect(await eventsOf(scene, next)).toEqual(['i 202 c'])
      await next.stop()
      await scene.end()
    })
  }
})

describe('trap: partitions that go are a gap', () => {
  test.each([
    ['detached', 'alter table $ detach partition $_2'],
    ['dropped', 'drop table $_2'],
    [
      'detached and attached again',
      'alter table $ detach partition $_2; delete from $_2; alter table $ attach partition $_2 for values from (100) to (200)',
    ],
  ])('%s', async (_how, statement) => {
    const scene = await sceneOf({}, `insert into $ values (1, 'a'), (101, 'b')`)
    const running = stream(scene)
    await scene.sql(statement)
    await running.until(() => running.sink.gaps.length > 0)
    expect(running.sink.gaps).toMatchObject([{ table: scene.table.id }])
    await running.stop()
    await scene.end()
  })
})

test('trap: partitions that went are told of though the process that saw it ended before it could', async () => {
  const scene = await sceneOf({}, `insert into $ values (1, 'a'), (101, 'b')`)
  const { source, table } = scene
  await scene.sql('alter table $ detach partition $_2')
  const seen = await source.prepare([table], scene.state)
  const running = stream(scene, await source.prepare([table], seen))
  await running.until(() => running.sink.gaps.length > 0)
  await running.stop()
  await scene.end()
})

test('a partition by itself is a table like any other', async () => {
  const scene = await sceneOf()
  const { name } = scene
  const source = sourceOf(server, { name: `${name}_alone` })
  const table = await tableNamed(source, `${name}_1`)
  expect(table.partOf).toMatchObject({ schema: 'public', table: name })
  const state = await source.prepare([table], undefined)
  await scene.sql(`insert into $ values (1, 'a'), (101, 'b'); truncate $_1`)
  const sink = new RecordingSink()
  const until = await source.currentPosition()
  await source.streamChanges({ from: state.position, until, tables: [table], sink, signal: never })
  expect(sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual(['1'])
  expect(sink.transactions.flatMap(({ truncated }) => truncated)).toEqual([table.id])
  await source.dispose()
  await source.close()
  await scene.end()
})

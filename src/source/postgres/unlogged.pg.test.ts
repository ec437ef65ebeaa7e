/** Tables that become unlogged while they are followed, which the server allows unless a publication names them. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { SchemaChange } from '../change-sink.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import {
  eventsOf,
  partitionScene,
  type PartitionScene,
  stream,
} from './testing/partition-fixture.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

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

/** Keeps what it is told of a table, as the gateway does. */
class FollowingSink extends RecordingSink {
  readonly changes: SchemaChange[] = []
  #table: SourceTable

  constructor(table: SourceTable) {
    super()
    this.#table = table
  }

  followed(id: TableId): SourceTable | undefined {
    return id === this.#table.id ? this.#table : undefined
  }

  override schemaChanged(table: SourceTable, change?: SchemaChange): void {
    this.#table = table
    if (change !== undefined) this.changes.push(change)
    super.schemaChanged(table)
  }
}

/** Several looks have been made, and the stream has passed them. */
async function settled({ source }: PartitionScene): Promise<void> {
  for (let look = 0; look < 10; look++) {
    await new Promise((resolve) => setTimeout(resolve, 30))
    await source.currentPosition()
  }
}

const unloggedForAMoment = (name: string): string =>
  `alter table ${name} set unlogged; insert into ${name} values (2); alter table ${name} set logged`

const unnamed: readonly (readonly [string, string])[] = [
  ['all tables', 'for all tables'],
  ['a schema', 'for tables in schema u_schema'],
]

test.each(postgresVersion >= 15 ? unnamed : unnamed.slice(0, 1))(
  'trap: a table of a publication of %s was unlogged between two looks',
  async (_, what) => {
    const name = `u3_${what.length}`
    await server.sql(`create schema if not exists u_schema;
    create table u_schema.${name} (id int primary key); create publication ${name} ${what}`)
    const source = sourceOf(server, { name, watchIntervalMs: 20 })
    const table = (await source.discoverTables(['u_schema'])).find((one) => one.name.table === name)
    if (table === undefined) throw new Error('the table was not found')
    const state = await source.prepare([table], undefined)
    const sink = new FollowingSink(table)
    const running = startStream({ source, state, tables: [table], sink })
    await server.sql(`begin; ${unloggedForAMoment(`u_schema.${name}`)}; commit`)
    await running.until(() => sink.changes.length > 0)
    expect(sink.changes).toMatchObject([
      { kind: 'new', reason: expect.stringContaining('unlogged') },
    ])
    await running.stop()
    await source.dispose()
    await source.close()
  },
)

test('trap: a table was unlogged and logged again while nobody looked', async () => {
  await server.sql('create table u4 (id int primary key); create publication u4 for all tables')
  const source = sourceOf(server, { name: 'u4', watchIntervalMs: 20 })
  const table = await tableNamed(source, 'u4')
  const state = await source.prepare([table], undefined)
  await server.sql(unloggedForAMoment('u4'))
  const again = await source.prepare([table], state)
  const sink = new FollowingSink(table)
  const running = startStream({ source, state: again, tables: [table], sink })
  await running.until(() => sink.changes.length > 0)
  expect(sink.changes).toMatchObject([{ kind: 'new' }])
  await running.stop()
  await source.dispose()
  await source.close()
})

test('a TRUNCATE that the log told is no reason to copy, VACUUM FULL is one', async () => {
  await server.sql('create table u5 (id int primary key); create publication u5 for all tables')
  const source = sourceOf(server, { name: 'u5', watchIntervalMs: 20 })
  const table = await tableNamed(source, 'u5')
  const state = await source.prepare([table], undefined)
  const sink = new FollowingSink(table)
  const running = startStream({ source, state, tables: [table], sink })
  for (const round of [1, 2]) {
    await server.sql('insert into u5 values (1); truncate u5; insert into u5 values (2)')
    await running.until(() => sink.changes.length === round)
  }
  await server.sql('vacuum full u5')
  await running.until(() => sink.changes.length === 3)
  expect(sink.changes.map(({ kind }) => kind)).toEqual(['step', 'step', 'new'])
  await running.stop()
  await source.dispose()
  await source.close()
})

test('trap: a partition of our own publication was unlogged between two looks', async () => {
  const scene = await partitionScene(server)
  const running = stream(scene)
  await scene.sql('insert into $ values (1), (101); truncate $; insert into $ values (3)')
  expect(await eventsOf(scene, running)).toEqual(['i 1 -', 'i 101 -', 'i 3 -', 'truncate'])
  await settled(scene)
  expect(running.sink.gaps).toEqual([])
  await scene.sql(
    'alter table $_1 set unlogged; insert into $ values (2); alter table $_1 set logged',
  )
  await running.until(() => running.sink.gaps.length > 0)
  expect(running.sink.gaps).toMatchObject([{ reason: expect.stringContaining('unlogged') }])
  await running.stop()
  await scene.end()
})

test('trap: a partition was unlogged and logged again while nobody looked', async () => {
  const scene = await partitionScene(server)
  await scene.sql(
    'alter table $_1 set unlogged; insert into $ values (2); alter table $_1 set logged',
  )
  const running = stream(scene, await scene.source.prepare([scene.table], scene.state))
  await running.until(() => running.sink.gaps.length > 0)
  expect(running.sink.gaps).toMatchObject([{ reason: expect.stringContaining('unlogged') }])
  await running.stop()
  await scene.end()
})

test('VACUUM FULL is no reason to copy a table whose partitions a publication names', async () => {
  const scene = await partitionScene(server, {}, 'create publication $ for table $, $_1, $_2')
  const running = stream(scene)
  await expect(scene.sql('alter table $_1 set unlogged')).rejects.toThrow('publication')
  await scene.sql('vacuum full $_1')
  await scene.sql('insert into $ values (1)')
  expect(await eventsOf(scene, running)).toEqual(['i 1 -'])
  await settled(scene)
  expect(running.sink.gaps).toEqual([])
  await running.stop()
  await scene.end()
})

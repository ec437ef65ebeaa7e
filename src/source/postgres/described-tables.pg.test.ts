import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

test('a table described alone is the one that is found among all, until it is gone', async () => {
  await server.sql(
    `create table d1 (id int primary key, at date default now(), price money);
    create table d2 (id int primary key) partition by range (id);
    create table d2a partition of d2 for values from (0) to (10);
    insert into d2 select generate_series(0, 9); analyze d2a;
    create schema other`,
  )
  const source = sourceOf(server, { name: 'd' })
  for (const name of ['d1', 'd2', 'd2a']) {
    const table = await tableNamed(source, name)
    expect(await source.describeTable(table.id)).toEqual(table)
  }
  expect((await tableNamed(source, 'd2')).estimatedRows).toBe(10)
  const { id } = await tableNamed(source, 'd1')
  await server.sql('alter table d1 set schema other')
  expect((await source.describeTable(id))?.name.schema).toBe('other')
  await server.sql('drop table other.d1')
  expect(await source.describeTable(id)).toBeUndefined()
  await source.close()
})

/** Tables that are renamed, moved, dropped and made again: each has its own fate, others do not notice. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { DdlWorld } from '../support/ddl-world.ts'
import type { EmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
let world: DdlWorld

beforeAll(async () => {
  server = await DdlWorld.server()
})

afterAll(async () => {
  await server.stop()
})

beforeEach(async () => {
  world = await DdlWorld.open(server)
  await world.sql(`CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (1, 'one');
    CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)`)
  await world.sync()
})

afterEach(async () => {
  await world.close()
})

async function expectOther(): Promise<void> {
  expect(await world.destination('other')).toEqual(await world.source('other'))
  const id = await world.tableId('other')
  const copied = await world.entries('snapshot_started')
  expect(copied.filter(({ table_id }) => table_id === id).length).toBe(1)
}

test('a table that is made again under its name is loaded anew by itself', async () => {
  await world.sql(`DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, b int, a text);
    INSERT INTO t VALUES (2, 5, 'two'); INSERT INTO other VALUES (2)`)
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  expect(await world.destination('t')).toEqual(await world.source('t'))
  await world.sql(`INSERT INTO t VALUES (3, 6, 'three')`)
  await world.sync()
  expect(await world.destination('t')).toEqual(await world.source('t'))
  await expectOther()
})

test('the same while the gateway runs', async () => {
  await world.staging(async (until) => {
    await world.sql(
      `DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, b int); INSERT INTO t VALUES (2, 5)`,
    )
    await until(async () => (await world.entries('snapshot_finished')).length === 3)
    await world.sql('INSERT INTO t VALUES (3, 6)')
    await until(async () => (await world.entries('changes')).length > 0)
  })
  const result = await world.apply()
  expect(result.failedTables).toEqual([])
  expect(await world.destination('t')).toEqual(await world.source('t'))
  await expectOther()
})

test('a dropped table stays as it was, and says so with a remedy', async () => {
  const before = await world.destination('t')
  await world.sql('DROP TABLE t; INSERT INTO other VALUES (2)')
  await world.stage()
  await world.apply()
  expect(await world.destination('t')).toEqual(before)
  await expectOther()
})

test('a renamed table goes on under its new name; its rows are not copied again', async () => {
  await world.sql(
    `INSERT INTO t VALUES (2, 'two'); ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (3, 'three')`,
  )
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  expect(await world.destination('u')).toEqual(await world.source('u'))
  expect((await world.counts()).copies).toBe(2)
  await world.sql(`ALTER TABLE u ADD c int DEFAULT 4; INSERT INTO u VALUES (4)`)
  await world.sync()
  expect(await world.destination('u')).toEqual(await world.source('u'))
  expect(await world.counts()).toEqual({ copies: 2, steps: 1 })
  await expectOther()
})

test('two tables swap their names', async () => {
  await world.sql(`CREATE TABLE s (id int PRIMARY KEY, n int); INSERT INTO s VALUES (7, 7)`)
  await world.sync()
  await world.sql(`ALTER TABLE t RENAME TO x; ALTER TABLE s RENAME TO t; ALTER TABLE x RENAME TO s`)
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  for (const name of ['t', 's'])
    expect(await world.destination(name)).toEqual(await world.source(name))
  await expectOther()
})

test('trap: a label of an enum that is renamed changes values and no row', async () => {
  await world.sql(`CREATE TYPE mood AS ENUM ('sad', 'ok'); ALTER TABLE t ADD m mood DEFAULT 'sad'`)
  await world.sync()
  await world.sql(`ALTER TYPE mood ADD VALUE 'happy'`)
  await world.sql(`INSERT INTO t VALUES (2, 'two', 'happy')`)
  await world.sync()
  expect(await world.destination('t')).toEqual(await world.source('t'))
  expect((await world.counts()).copies).toBe(2)
  await world.sql(`ALTER TYPE mood RENAME VALUE 'happy' TO 'glad'`)
  await world.sync()
  expect(await world.destination('t')).toEqual(await world.source('t'))
  expect((await world.counts()).copies).toBe(3)
})

test('trap: the same in arrays, domains, composites and ranges of the enum', async () => {
  const types = { d: ['named[]', '{sad}'], a: ['list', '{sad}'], c: ['pair', '(1,sad)'] }
  const held = Object.entries({ ...types, r: ['span', '[sad,ok)'] })
  await world.sql(`CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN named AS mood;
    CREATE DOMAIN list AS mood[]; CREATE TYPE pair AS (a int, m mood); CREATE TYPE span AS RANGE (subtype = mood)`)
  for (const [name, [type, value]] of held) {
    await world.sql(
      `CREATE TABLE ${name} (id int PRIMARY KEY, m ${type}); INSERT INTO ${name} VALUES (1, '${value}')`,
    )
  }
  await world.sync()
  await world.sql(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`)
  await world.sync()
  for (const [name] of held) {
    expect({ name, ...(await world.destination(name)) }).toEqual({
      name,
      ...(await world.source(name)),
    })
  }
})

test('trap: an attribute of a composite that comes or goes changes values and no row', async () => {
  await world.sql(`CREATE TYPE pair AS (a int, b text); CREATE TYPE outer_pair AS (p pair, n int);
    CREATE TABLE one (id int PRIMARY KEY, p pair); INSERT INTO one VALUES (1, '(1,x)');
    CREATE TABLE many (id int PRIMARY KEY, p outer_pair[]); INSERT INTO many VALUES (1, ARRAY['("(1,x)",2)'::outer_pair])`)
  await world.sync()
  for (const change of ['ADD ATTRIBUTE c int', 'DROP ATTRIBUTE a', 'RENAME ATTRIBUTE b TO z']) {
    await world.sql(`ALTER TYPE pair ${change}`)
    await world.sync()
    for (const name of ['one', 'many']) {
      expect({ change, ...(await world.destination(name)) }).toEqual({
        change,
        ...(await world.source(name)),
      })
    }
  }
})

test('trap: a table of a publication of all tables becomes unlogged, is written, and is logged again', async () => {
  const all = await DdlWorld.open(server)
  try {
    await all.sql(`CREATE PUBLICATION ${all.schema} FOR ALL TABLES; CREATE TABLE u (id int PRIMARY KEY);
      INSERT INTO u VALUES (1)`)
    await all.sync()
    await all.sql('ALTER TABLE u SET UNLOGGED; INSERT INTO u VALUES (2)')
    const refused = await all.sync()
    expect(refused.failedTables.length).toBe(1)
    await all.sql('INSERT INTO u VALUES (3); ALTER TABLE u SET LOGGED; INSERT INTO u VALUES (4)')
    expect((await all.sync()).failedTables).toEqual([])
    expect(await all.destination('u')).toEqual(await all.source('u'))
  } finally {
    await all.close()
  }
})

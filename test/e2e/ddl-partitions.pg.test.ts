/** Partitioned tables that are altered: what the catalog keeps of rows it keeps with the partitions. */
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
  await world.sql(`CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
    CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
    CREATE TABLE t21 PARTITION OF t2 DEFAULT; INSERT INTO t VALUES (1, 'x'), (11, 'y')`)
  await world.sync()
})

afterEach(async () => {
  await world.close()
})

async function change(sql: string): Promise<void> {
  await world.sql(sql)
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  expect(await world.destination('t')).toEqual(await world.source('t'))
}

async function addDefaults(): Promise<void> {
  await change(`ALTER TABLE t ADD c int DEFAULT 5, ADD d text NOT NULL DEFAULT 'z', ADD e text`)
  await change(`INSERT INTO t VALUES (2, 'x', 6); ALTER TABLE t ADD f date DEFAULT '2024-02-29';
    INSERT INTO t VALUES (12, 'x', DEFAULT, DEFAULT)`)
  await change(`CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30);
    INSERT INTO t VALUES (21, 'new', NULL, '')`)
  await change('ALTER TABLE t ADD g int DEFAULT 7')
  expect((await world.counts()).copies).toBe(1)
}

test('trap: the default of an added column is not with the partitioned table, but with its partitions', async () => {
  await addDefaults()
})

test('trap: rows of partitions that are written anew', async () => {
  await change(`ALTER TABLE t ALTER a TYPE text USING upper(a)`)
  await change('ALTER TABLE t ADD c int DEFAULT 5')
  expect((await world.counts()).copies).toBe(2)
})

test('the same, described by the event triggers', async () => {
  await DdlWorld.installTriggers(server)
  await addDefaults()
})

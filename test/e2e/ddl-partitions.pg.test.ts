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

async function addDefaults(): Promise<void> {
  await world.change(
    `ALTER TABLE t ADD c int DEFAULT 5, ADD d text NOT NULL DEFAULT 'z', ADD e text`,
  )
  await world.change(`INSERT INTO t VALUES (2, 'x', 6); ALTER TABLE t ADD f date DEFAULT '2024-02-29';
    INSERT INTO t VALUES (12, 'x', DEFAULT, DEFAULT)`)
  await world.change(`CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30);
    INSERT INTO t VALUES (21, 'new', NULL, '')`)
  await world.change('ALTER TABLE t ADD g int DEFAULT 7')
  expect((await world.counts()).copies).toBe(1)
}

test('trap: the default of an added column is not with the partitioned table, but with its partitions', async () => {
  await addDefaults()
})

test('trap: rows of partitions that are written anew', async () => {
  await world.change(`ALTER TABLE t ALTER a TYPE text USING upper(a)`)
  await world.change('ALTER TABLE t ADD c int DEFAULT 5')
  expect((await world.counts()).copies).toBe(2)
})

test('the same, described by the event triggers', async () => {
  await DdlWorld.installTriggers(server)
  await addDefaults()
})

const rename = (from: string, to: string): string => `ALTER TABLE t RENAME ${from} TO ${to};`
const swap = `${rename('a', 'x')} ${rename('b', 'a')} ${rename('x', 'b')}`
/** Whatever their names: of columns 1, 2 and 3, by partitions whose columns stand otherwise. */
const rows = (n: number): string =>
  `INSERT INTO t VALUES (${n}, 'second ${n}', 'third ${n}'), (${10 + n}, 'second ${n}', 'third ${n}');`

test.each([
  ['before the swap', `${rows(2)} ${swap}`],
  ['after it', `${swap} ${rows(2)}`],
  ['on both sides', `${rows(2)} ${swap} ${rows(3)}`],
  ['between two', `${swap} ${rows(2)} ${swap} ${rows(3)}`],
  ['before one and a drop', `${rows(2)} ${swap} ${rows(3)} ALTER TABLE t DROP gone`],
])(
  'trap: columns swap their names, which partitions have in another order: rows %s',
  async (_how, sql) => {
    await world.sql(`DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text, b text, gone int) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
    CREATE TABLE t2 (b text, id int PRIMARY KEY, dropped int, gone int, a text); ALTER TABLE t2 DROP dropped;
    ALTER TABLE t ATTACH PARTITION t2 FOR VALUES FROM (10) TO (20); ${rows(1)}`)
    await world.sync()
    await world.change(sql)
  },
)

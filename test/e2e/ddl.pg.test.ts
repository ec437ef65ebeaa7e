/** Tables that are altered while they are followed: what is followed in place and what is copied anew. */
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
})

afterEach(async () => {
  await world.close()
})

type Case = readonly [what: string, sql: string, key?: string]

/** Each case on a table of its own, all at once; `rows`: others before and after it in its transaction. */
async function changeAll(cases: readonly Case[], rows: 'with rows' | 'idle'): Promise<void> {
  const names = cases.map((_, place) => `t${place}`)
  await world.follow(...names)
  for (const [place, [what, sql, key = 'id']] of cases.entries()) {
    const statements = (text: string): string => text.replaceAll(/\bt(?=\b|_pkey)/g, `t${place}`)
    const before = `INSERT INTO t VALUES (3, 'a3', 'b3'); UPDATE t SET b = 'x' WHERE id = 1;`
    const after = `DELETE FROM t WHERE ${key} = 2; UPDATE t SET n = n + 1 WHERE ${key} = 1;
      INSERT INTO t (${key}, n${what === 'another key' ? ', a' : ''}) VALUES (4, 4${what === 'another key' ? `, ''` : ''})`
    await world.sql(statements(rows === 'idle' ? sql : `${before} ${sql}; ${after}`))
  }
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  await world.expectEqual(...names)
}

const inPlace: readonly Case[] = [
  ['a column', 'ALTER TABLE t ADD COLUMN c text'],
  [
    'trap: old rows get no event for the default of an added column',
    `ALTER TABLE t ADD COLUMN c text DEFAULT 'it''s "{,}"'`,
  ],
  ['a default that NOT NULL needs', 'ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT 42'],
  [
    'defaults of many types',
    `ALTER TABLE t ADD COLUMN c numeric(12,3) DEFAULT 1.5, ADD d date DEFAULT '2024-02-29',
    ADD e timestamptz DEFAULT '2024-01-01 00:00:00.25+02', ADD f bool DEFAULT false, ADD g uuid DEFAULT 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
    ADD h text DEFAULT '', ADD i text, ADD j double precision DEFAULT -1.25`,
  ],
  [
    'defaults whose texts have quotes and commas of their own',
    `ALTER TABLE t ADD COLUMN c int[] DEFAULT '{1,NULL}', ADD d text[] DEFAULT '{"a,b",NULL,"NULL","\\""}',
    ADD e interval DEFAULT '1 day 2 hours', ADD g jsonb DEFAULT '{"a": [1, "b"]}',
    ADD h int4range DEFAULT '[1,5)', ADD i text DEFAULT 'NULL', ADD j text DEFAULT '\\'`,
  ],
  ['a default that is computed once', `ALTER TABLE t ADD COLUMN c timestamptz DEFAULT now()`],
  ['a dropped column', 'ALTER TABLE t DROP COLUMN a'],
  ['a renamed column', 'ALTER TABLE t RENAME COLUMN a TO z'],
  ['a renamed key', 'ALTER TABLE t RENAME COLUMN id TO key', 'key'],
  [
    'columns that swap names',
    'ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t RENAME x TO b',
  ],
  ['wider texts and numbers', 'ALTER TABLE t ALTER b TYPE varchar(20), ALTER n TYPE numeric(14,2)'],
  ['varchar to text', 'ALTER TABLE t ALTER b TYPE text'],
  [
    'nullability',
    'ALTER TABLE t ALTER id SET STATISTICS 7, ALTER a SET NOT NULL, ALTER a SET DEFAULT 1',
  ],
  ['a column and a new name', 'ALTER TABLE t ADD c int DEFAULT 7; ALTER TABLE t RENAME a TO z'],
]

for (const rows of ['idle', 'with rows'] as const) {
  test(`followed in place, ${rows}: ${inPlace.map(([what]) => what).join(', ')}`, async () => {
    await changeAll(inPlace, rows)
    expect(await world.counts()).toEqual({ copies: inPlace.length, steps: inPlace.length })
  })
}

const anew: readonly Case[] = [
  [
    'trap: a rewrite with USING shows neither rows nor another schema',
    `ALTER TABLE t ALTER a TYPE text USING upper(a)`,
  ],
  [
    'trap: a column dropped and made again under its name and type',
    'ALTER TABLE t DROP a, DROP b, DROP n; ALTER TABLE t ADD a text, ADD b varchar(10), ADD n numeric(10,2)',
  ],
  [
    'trap: a column added, filled and dropped before anybody looked, and another one in its place',
    `ALTER TABLE t ADD c text; INSERT INTO t (id, c) VALUES (9, 'gone'); ALTER TABLE t DROP c; ALTER TABLE t ADD d text`,
  ],
  [
    'trap: a default whose text is no element of an array of texts',
    `ALTER TABLE t ADD COLUMN c box DEFAULT '(2,2),(1,1)'`,
  ],
  ['a type that rewrites', 'ALTER TABLE t ALTER id TYPE bigint'],
  ['another key', 'ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (a, id)'],
  ['a volatile default', 'ALTER TABLE t ADD c double precision DEFAULT random()'],
  ['a type that is held otherwise', 'ALTER TABLE t ALTER n TYPE numeric'],
]

for (const rows of ['idle', 'with rows'] as const) {
  test(`copied anew, ${rows}: ${anew.map(([what]) => what).join(', ')}`, async () => {
    await changeAll(anew, rows)
    expect((await world.counts()).copies).toBe(2 * anew.length)
    for (const place of anew.keys()) await world.sql(`UPDATE t${place} SET a = 'again'`)
    await world.sync()
    await world.expectEqual(...anew.map((_, place) => `t${place}`))
    expect((await world.counts()).copies).toBe(2 * anew.length)
  })
}

test('rows that move without another change are no reason for a copy', async () => {
  await world.follow('t')
  await world.change('VACUUM FULL t')
  await world.change('CLUSTER t USING t_pkey')
  await world.change(`TRUNCATE t; INSERT INTO t VALUES (5, 'a5')`)
  await world.change('ALTER TABLE t ALTER a SET STATISTICS 50')
  await world.change('VACUUM FULL t')
  expect((await world.counts()).copies).toBe(1)
})

test('trap: in one transaction rows come under two schemas', async () => {
  await world.follow('t')
  await world.change(
    `BEGIN; INSERT INTO t VALUES (3, 'a3', 'b3', 3); ALTER TABLE t ADD c int DEFAULT 5;
     INSERT INTO t VALUES (4, 'a4', 'b4', 4, 6); UPDATE t SET a = 'new' WHERE id = 3; SAVEPOINT s;
     ALTER TABLE t ADD d int DEFAULT 8; INSERT INTO t VALUES (5, 'gone'); ROLLBACK TO s;
     UPDATE t SET b = 'new' WHERE id = 1; ALTER TABLE t RENAME a TO z; DELETE FROM t WHERE id = 2; COMMIT`,
  )
  await world.change('INSERT INTO t (id, z, c) VALUES (6, NULL, NULL)')
  expect((await world.counts()).copies).toBe(1)
})

test('a transaction that drops and adds is copied anew, and rolled back is nothing', async () => {
  await world.follow('t')
  await world.change(
    `BEGIN; ALTER TABLE t DROP a; INSERT INTO t VALUES (3); ROLLBACK; INSERT INTO t VALUES (4)`,
  )
  expect(await world.counts()).toEqual({ copies: 1, steps: 0 })
  await world.change(
    `BEGIN; INSERT INTO t VALUES (3, 'a3'); ALTER TABLE t DROP a; INSERT INTO t VALUES (5);
     ALTER TABLE t ADD a text DEFAULT 'new'; INSERT INTO t (id) VALUES (6); COMMIT`,
  )
  expect((await world.counts()).copies).toBe(2)
})

test('a name that comes back is another column', async () => {
  await world.follow('t')
  await world.change('ALTER TABLE t DROP a')
  await world.change(`ALTER TABLE t ADD a text; INSERT INTO t (id, a) VALUES (3, 'a3')`)
  await world.change('ALTER TABLE t RENAME b TO old; ALTER TABLE t RENAME a TO b')
  await world.change(`UPDATE t SET n = 0; ALTER TABLE t ADD a int DEFAULT 1`)
  expect(await world.counts()).toEqual({ copies: 1, steps: 4 })
})

test('trap: a rename on a table that nobody writes to is seen while the gateway runs', async () => {
  await world.follow('t')
  await world.staging(async (until) => {
    await world.sql('ALTER TABLE t RENAME a TO z')
    await until(async () => (await world.counts()).steps === 1)
    await world.sql('ALTER TABLE t ALTER z TYPE text USING upper(z)')
    await until(async () => (await world.entries('snapshot_finished')).length === 2)
  })
  await world.apply()
  await world.expectEqual('t')
})

test('trap: a generated column that the log does not have becomes an ordinary one: old rows have values', async () => {
  await world.sql(`CREATE TABLE t (id int PRIMARY KEY, a int, g int GENERATED ALWAYS AS (a * 2) STORED);
    CREATE PUBLICATION ${world.schema} FOR ALL TABLES; INSERT INTO t VALUES (1, 1), (2, 2)`)
  await world.sync()
  await world.change(
    'INSERT INTO t VALUES (3, 3); ALTER TABLE t ALTER g DROP EXPRESSION; INSERT INTO t VALUES (4, 4, 5)',
  )
})

/** Tables that are altered while the optional event triggers describe it in the log. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { enableStatements, uninstallScript } from '../../src/source/postgres/ddl-trigger.ts'
import type { Finding } from '../../src/source/finding.ts'
import { sourceOf } from '../../src/source/postgres/testing/postgres-fixture.ts'
import { DdlWorld } from '../support/ddl-world.ts'
import { type EmbeddedPostgres, postgresVersion } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
let world: DdlWorld

beforeAll(async () => {
  // Version 13 does not send what they write.
  server = await DdlWorld.server(Math.max(postgresVersion, 14))
  await DdlWorld.installTriggers(server)
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

type Case = readonly [what: string, sql: string]

const inPlace: readonly Case[] = [
  ['dropped and added', 'ALTER TABLE t DROP COLUMN a; ALTER TABLE t ADD COLUMN c int DEFAULT 7'],
  [
    'dropped and made again under its name and type',
    'ALTER TABLE t DROP a, DROP b; ALTER TABLE t ADD a text, ADD b varchar(10)',
  ],
  [
    'dropped and made again with a default, in one statement',
    `ALTER TABLE t DROP a, ADD a text DEFAULT 'new'`,
  ],
  [
    'several renames around an added and a dropped column',
    `ALTER TABLE t RENAME a TO x; ALTER TABLE t RENAME b TO a; ALTER TABLE t DROP COLUMN x;
     ALTER TABLE t ADD COLUMN b text DEFAULT 'b'; ALTER TABLE t RENAME id TO key; ALTER TABLE t RENAME key TO id`,
  ],
  ['added and dropped', 'ALTER TABLE t ADD z int; ALTER TABLE t DROP z; ALTER TABLE t ADD y int'],
  [
    'types of our own',
    `ALTER TABLE t DROP a; ALTER TABLE t ADD d date DEFAULT '2024-02-29', ADD e timestamptz DEFAULT '2024-01-01 00:00:00.25+02',
     ADD f float8 DEFAULT 0.1, ADD g uuid DEFAULT 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'`,
  ],
  [
    'around a savepoint that is rolled back',
    'ALTER TABLE t DROP a; SAVEPOINT s; ALTER TABLE t DROP b; ALTER TABLE t ADD b int; ROLLBACK TO s; ALTER TABLE t ADD a int',
  ],
]

for (const rows of ['idle', 'with rows'] as const) {
  test(`followed in place, ${rows}: ${inPlace.map(([what]) => what).join(', ')}`, async () => {
    const names = inPlace.map((_, place) => `t${place}`)
    await world.follow(...names)
    for (const [place, [, sql]] of inPlace.entries()) {
      const before = `INSERT INTO t VALUES (3, 'a3', 'b3'); UPDATE t SET b = 'x' WHERE id = 1;`
      const after = `DELETE FROM t WHERE id = 2; UPDATE t SET n = n + 1 WHERE id = 1; INSERT INTO t (id, n) VALUES (4, 4)`
      const text = rows === 'idle' ? sql : `${before} ${sql}; ${after}`
      await world.sql(`BEGIN; ${text.replaceAll(/\bt\b/g, `t${place}`)}; COMMIT`)
    }
    const result = await world.sync()
    expect(result.failedTables).toEqual([])
    await world.expectEqual(...names)
    expect((await world.counts()).copies).toBe(names.length)
  })
}

test('changes between two looks, in several transactions with rows, are followed in place', async () => {
  await world.follow('t')
  await world.change(`INSERT INTO t VALUES (3, 'a3', 'b3');
    ALTER TABLE t DROP a`)
  await world.sql(`INSERT INTO t VALUES (4, 'b4')`)
  await world.sql(`ALTER TABLE t ADD a text DEFAULT 'first'`)
  await world.sql(`UPDATE t SET a = 'second' WHERE id = 4; INSERT INTO t VALUES (5, 'b5')`)
  await world.sql(`ALTER TABLE t DROP a; ALTER TABLE t ADD a text`)
  await world.change(`INSERT INTO t VALUES (6, 'b6', 6, 'third')`)
  expect((await world.counts()).copies).toBe(1)
})

test('rows written anew are copied anew', async () => {
  await world.follow('t')
  await world.change(
    `INSERT INTO t VALUES (3, 'a3'); ALTER TABLE t ALTER a TYPE text USING upper(a)`,
  )
  expect((await world.counts()).copies).toBe(2)
  await world.change(`ALTER TABLE t ADD r float8 DEFAULT random()`)
  expect((await world.counts()).copies).toBe(3)
})

test('an idle table shows a change at once, without a look at the catalog', async () => {
  await world.follow('t')
  await world.staging(async (until) => {
    await world.sql('ALTER TABLE t DROP a; ALTER TABLE t ADD a int DEFAULT 5')
    await until(async () => (await world.counts()).steps > 0)
  }, 3_600_000)
  expect((await world.apply()).failedTables).toEqual([])
  await world.expectEqual('t')
  expect((await world.counts()).copies).toBe(1)
})

test('a publication that loses a table is noticed at that place', async () => {
  await world.follow('t')
  await world.staging(async (until) => {
    const [found] = await server.sql(
      `SELECT pubname FROM pg_publication_tables WHERE schemaname LIKE 'w%'`,
    )
    const pubname = String(found?.['pubname'])
    await world.sql(`ALTER PUBLICATION ${pubname} DROP TABLE t; INSERT INTO t VALUES (3, 'unseen')`)
    await until(async () => (await world.counts()).copies > 1)
  }, 3_600_000)
  await world.sync()
  await world.expectEqual('t')
})

test('a partition that is attached with rows in it is noticed at that place', async () => {
  await world.sql(`CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);
    CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10); INSERT INTO t VALUES (1, 'x')`)
  await world.sync()
  await world.staging(async (until) => {
    await world.sql(
      `CREATE TABLE more (id int PRIMARY KEY, a text); INSERT INTO more VALUES (11, 'y')`,
    )
    await world.sql('ALTER TABLE t ATTACH PARTITION more FOR VALUES FROM (10) TO (20)')
    await until(
      async () => (await world.entries('gap')).length > 0 || (await world.counts()).copies > 2,
    )
  }, 3_600_000)
  await world.sync()
  await world.expectEqual('t')
})

test('in a transaction that is sent in progress, with parts of it rolled back', async () => {
  await world.follow('t')
  await server.sql(`ALTER ROLE postgres SET logical_decoding_work_mem = '64kB'`)
  try {
    const more = (from: number, columns: string): string =>
      `INSERT INTO t (id, ${columns}) SELECT g, 'x' || g FROM generate_series(${from}, ${from + 1999}) g;`
    await world.change(`BEGIN; ${more(10_000, 'a')} ALTER TABLE t DROP a; SAVEPOINT s;
      ALTER TABLE t DROP b; ALTER TABLE t ADD b text DEFAULT 'rolled back'; ${more(20_000, 'b')}
      ROLLBACK TO s; ALTER TABLE t ADD a text DEFAULT 'kept'; ${more(30_000, 'a')}
      SAVEPOINT s2; ALTER TABLE t DROP n; ROLLBACK TO s2; ${more(40_000, 'b')} COMMIT`)
  } finally {
    await server.sql('ALTER ROLE postgres RESET logical_decoding_work_mem')
  }
  expect((await world.counts()).copies).toBe(1)
})

test('check tells whether they are there, and the statements that it gives set them right', async () => {
  const finding = async (connection: Record<string, string> = {}): Promise<Finding> => {
    const source = sourceOf(server, { name: 'checked', connection })
    try {
      const findings = await source.check(undefined)
      const found = findings.find(({ subject }) => subject.startsWith('event triggers'))
      if (found === undefined) throw new Error('nothing is said of them')
      return found
    } finally {
      await source.close()
    }
  }
  const said = { severity: 'ok', message: expect.stringMatching(/^installed/) }
  expect(await finding()).toMatchObject(said)
  const wrong = async (sql: string, severity: string, connection = {}): Promise<void> => {
    await server.sql(sql)
    const found = await finding(connection)
    expect(found.severity).toBe(severity)
    await server.sql(found.remedy ?? '')
    expect(await finding(connection)).toMatchObject(said)
  }
  await wrong(uninstallScript(), 'ok')
  await wrong(`COMMENT ON EVENT TRIGGER sluice_sql_drop IS 'sluice: version 0'`, 'warning')
  await wrong('DROP EVENT TRIGGER sluice_table_rewrite', 'warning')
  await wrong('ALTER EVENT TRIGGER sluice_ddl_command_end DISABLE', 'warning')
  const stranger = { user: 'trigger_reader', password: 'reads' }
  await wrong(`CREATE ROLE trigger_reader LOGIN REPLICATION PASSWORD 'reads'`, 'warning', stranger)
  await server.sql('DROP OWNED BY trigger_reader; DROP ROLE trigger_reader')
})

test('statements of people who may do little, and those that fail, are not disturbed', async () => {
  await world.follow('t')
  await server.sql('CREATE ROLE plain')
  await world.sql(`GRANT ALL ON SCHEMA ${world.schema} TO plain; ALTER TABLE t OWNER TO plain; SET ROLE plain;
    ALTER TABLE t DROP a; ALTER TABLE t ADD a text; CREATE TEMP TABLE own (a int); DROP TABLE own`)
  await expect(world.sql('ALTER TABLE t ADD a text')).rejects.toThrow('already exists')
  await expect(world.sql('SET ROLE plain; SELECT * FROM sluice.ddl_token')).rejects.toThrow(
    'denied',
  )
  await world.change(`INSERT INTO t (id, a) VALUES (9, 'nine')`)
  expect((await world.counts()).copies).toBe(1)
  // Without its helper nothing can be described: the statement succeeds all the same.
  await server.sql('ALTER FUNCTION sluice.ddl_describe(oid[]) RENAME TO gone')
  await world.change('ALTER TABLE t DROP a; ALTER TABLE t ADD a text')
  await server.sql('ALTER FUNCTION sluice.gone(oid[]) RENAME TO ddl_describe')
  expect((await world.counts()).copies).toBe(2)
  await server.sql('REASSIGN OWNED BY plain TO postgres; DROP OWNED BY plain; DROP ROLE plain')
})

test('trap: a forged message changes nothing', async () => {
  await world.follow('t')
  await world.sql('ALTER TABLE t DROP n')
  const [found] =
    await server.sql(`SELECT json_build_object('head', json_build_object('version', 1, 'token', gen_random_uuid()),
      'body', json_build_object('kind', 'table', 'description', d))::text AS content
      FROM sluice.ddl_describe(ARRAY['${await world.tableId('t')}'::oid]) d`)
  const content = String(found?.['content'])
  // Column b as if it had been dropped and made again.
  const forged = content
    .replace(/"attnum"\s*:\s*"3"/, '"attnum":"9"')
    .replaceAll(/"last"\s*:\s*"\d+"/g, '"last":"9"')
    .replace(/"own"\s*:[^}]*\}/, '"own":["9"]}')
  expect(forged).toContain('"own":["9"]')
  expect(forged).toContain('"attnum":"9"')
  await world.sync()
  for (const text of [
    forged,
    '{}',
    '{"head":[]}',
    'heartbeat',
    `{"head":{"version":1,"token":null}}`,
  ]) {
    await world.sql(`BEGIN; INSERT INTO t VALUES (${text.length + 10}, 'x', 'y');
      ALTER TABLE t ALTER a SET STATISTICS ${text.length % 100};
      SELECT pg_logical_emit_message(true, 'sluice', $f$${text}$f$);
      UPDATE t SET a = 'forged' WHERE id > 2; COMMIT`)
  }
  await world.change(`SELECT pg_logical_emit_message(false, 'sluice', $f$${forged}$f$)`)
  expect(await world.counts()).toEqual({ copies: 1, steps: 6 })
})

test('triggers that are switched off or away: as without them, nothing is lost', async () => {
  await world.follow('t')
  await world.change('ALTER TABLE t DROP a; ALTER TABLE t ADD a text')
  expect((await world.counts()).copies).toBe(1)
  await server.sql(enableStatements().replaceAll('ENABLE ALWAYS', 'DISABLE'))
  await world.sql('ALTER TABLE t DROP a; ALTER TABLE t ADD a text')
  await server.sql(enableStatements())
  await world.change(
    `INSERT INTO t (id, a) VALUES (7, 'unseen'); ALTER TABLE t ADD z int; UPDATE t SET a = 'u'`,
  )
  expect((await world.counts()).copies).toBe(2)
  await world.staging(async (until) => {
    await world.sql(`INSERT INTO t (id, a) VALUES (8, 'x')`)
    await server.sql(uninstallScript())
    await world.sql(
      `ALTER TABLE t DROP a; ALTER TABLE t ADD a text; INSERT INTO t (id, a) VALUES (9, 'y')`,
    )
    await until(async () => (await world.counts()).copies > 2)
    await DdlWorld.installTriggers(server)
    await world.sql(`ALTER TABLE t DROP a; INSERT INTO t (id) VALUES (10)`)
  })
  await world.sync()
  await world.expectEqual('t')
})

/** How rows are told apart, from the server to every kind of destination. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { ScdType } from '../../src/catalog/pipeline-definition.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { KindsWorld } from '../support/kinds-world.ts'

let server: EmbeddedPostgres
beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', synchronous_commit: 'off' } })
})
afterAll(async () => {
  await server.stop()
})

/** A value that does not fit into its row: the log leaves it out when it does not change. */
const big = (seed: string): string =>
  `(SELECT string_agg(md5('${seed}' || n), '') FROM generate_series(1, 400) n)`

let schemas = 0

async function openWorld(
  sql: string,
  kinds?: readonly ScdType[],
): Promise<{ readonly world: KindsWorld; readonly run: (sql: string) => Promise<void> }> {
  const schema = `s${schemas++}`
  const run = async (text: string): Promise<void> => {
    await server.sql(`SET search_path = ${schema}; ${text}`)
  }
  await server.sql(`CREATE SCHEMA ${schema}`)
  await run(sql)
  const world = await KindsWorld.open(server, schema, kinds)
  onTestFinished(async () => await world.close())
  return { world, run }
}

const keyed: readonly ScdType[] = ['SCD_TYPE_1', 'SCD_TYPE_2', 'APPEND_ONLY']
const keyless: readonly ScdType[] = ['SCD_TYPE_1', 'APPEND_ONLY']

describe('tables with a key', () => {
  for (const identity of ['DEFAULT', 'FULL', 'USING INDEX t_key_note']) {
    test(`trap: unchanged TOAST with identity ${identity}: every kind of destination keeps the value`, async () => {
      const { world, run } = await openWorld(`
        CREATE TABLE t (id int PRIMARY KEY, key_note text NOT NULL DEFAULT 'k', note text, body text);
        CREATE UNIQUE INDEX t_key_note ON t (id, key_note);
        ALTER TABLE t REPLICA IDENTITY ${identity};
        INSERT INTO t SELECT n, 'k', 'first', ${big('copied')} FROM generate_series(1, 6) n`)
      expect(await world.follow()).toEqual({})
      await world.expectEqual('t')
      // One update, several in one run, over a change of key, of a row of the same transaction.
      await run(`UPDATE t SET note = 'second' WHERE id = 1;
        UPDATE t SET note = 'once' WHERE id = 2; UPDATE t SET note = 'twice' WHERE id = 2;
        UPDATE t SET id = 30 WHERE id = 3; UPDATE t SET note = 'moved' WHERE id = 30;
        BEGIN; UPDATE t SET id = 40 WHERE id = 4; UPDATE t SET id = 41 WHERE id = 40;
          UPDATE t SET note = 'chain' WHERE id = 41; COMMIT;
        BEGIN; INSERT INTO t VALUES (7, 'k', 'new', ${big('inserted')});
          UPDATE t SET note = 'newer' WHERE id = 7; UPDATE t SET id = 70 WHERE id = 7; COMMIT;
        UPDATE t SET body = ${big('changed')} WHERE id = 5; UPDATE t SET note = 'after' WHERE id = 5`)
      expect(await world.follow()).toEqual({})
      await world.expectEqual('t')
      // In another run, when only the destination still knows the value.
      await run(`UPDATE t SET note = 'third' WHERE id IN (1, 30, 41, 70);
        UPDATE t SET id = 31 WHERE id = 30; UPDATE t SET note = 'x' WHERE id = 5`)
      expect(await world.follow()).toEqual({})
      await world.expectEqual('t')
      const lost = `SELECT count(*)::INTEGER FROM rows WHERE body IS NULL`
      expect(await world.query('SCD_TYPE_2', 't', lost)).toEqual([[0]])
      const isChange = `__CHANGE_TYPE IN ('insert', 'update')`
      expect(await world.query('APPEND_ONLY', 't', `${lost} AND ${isChange}`)).toEqual([[0]])
    })
  }

  test('trap: keys that rows exchange in one transaction, chains, deletes and inserts again', async () => {
    const { world, run } = await openWorld(`
      CREATE TABLE t (id int PRIMARY KEY, v text);
      INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 8) n`)
    expect(await world.follow()).toEqual({})
    await run(`
      BEGIN; UPDATE t SET id = -1 WHERE id = 1; UPDATE t SET id = 1 WHERE id = 2;
        UPDATE t SET id = 2 WHERE id = -1; COMMIT;
      BEGIN; UPDATE t SET id = 100 WHERE id = 3; UPDATE t SET id = 101 WHERE id = 100;
        UPDATE t SET id = 3 WHERE id = 101; COMMIT;
      BEGIN; DELETE FROM t WHERE id = 4; INSERT INTO t VALUES (4, 'v4'); COMMIT;
      BEGIN; DELETE FROM t WHERE id = 5; INSERT INTO t VALUES (5, 'other'); COMMIT;
      BEGIN; INSERT INTO t VALUES (9, 'gone'); DELETE FROM t WHERE id = 9; COMMIT;
      UPDATE t SET v = v WHERE id = 6;
      BEGIN; UPDATE t SET v = 'between' WHERE id = 7; UPDATE t SET v = 'v7' WHERE id = 7; COMMIT`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    const ended = `SELECT id FROM rows WHERE __END_AT IS NOT NULL ORDER BY id`
    // What a transaction leaves as it was makes no version.
    expect(await world.query('SCD_TYPE_2', 't', ended)).toEqual([[1], [2], [5]])
    const count = `SELECT count(*)::INTEGER FROM rows WHERE __START_AT >= __END_AT`
    expect(await world.query('SCD_TYPE_2', 't', count)).toEqual([[0]])
    await run(`TRUNCATE t; INSERT INTO t VALUES (1, 'again')`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    const open = `SELECT id, v FROM rows WHERE __END_AT IS NULL`
    expect(await world.query('SCD_TYPE_2', 't', open)).toEqual([[1, 'again']])
  })

  test('history survives a new copy, and ends with a full refresh', async () => {
    const { world, run } = await openWorld(`
      CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
    expect(await world.follow()).toEqual({})
    await run(`UPDATE t SET v = 'A' WHERE id = 1`)
    expect(await world.follow()).toEqual({})
    // A rewrite that the log does not show: the table is copied anew.
    await run(`UPDATE t SET v = 'B' WHERE id = 2; DELETE FROM t WHERE id = 3;
      ALTER TABLE t ALTER COLUMN id TYPE bigint`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    const versions = `SELECT id::INTEGER, v, __END_AT IS NULL FROM rows ORDER BY id, __START_AT`
    const history = [
      [1, 'a', false],
      [1, 'A', true],
      [2, 'b', false],
      [2, 'B', true],
      [3, 'c', false],
    ]
    expect(await world.query('SCD_TYPE_2', 't', versions)).toEqual(history)
    world.gateway.refresh('all')
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    expect(await world.query('SCD_TYPE_2', 't', versions)).toEqual([
      [1, 'A', true],
      [2, 'B', true],
    ])
  })
})

describe('tables without a key', () => {
  test('trap: equal rows of a table without a key, identity full: each one counts', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (a int, f float8, n numeric(6,2), body text);
       ALTER TABLE t REPLICA IDENTITY FULL;
       INSERT INTO t SELECT 1, 0, 1.50, NULL FROM generate_series(1, 3);
       INSERT INTO t VALUES (2, '-0', NULL, ${big('b')}), (2, '0', NULL, ${big('b')}), (3, 'NaN', 0, '')`,
      keyless,
    )
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    await run(`UPDATE t SET n = 2 WHERE ctid = (SELECT ctid FROM t WHERE a = 1 LIMIT 1);
      DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a = 1 AND n = 1.5 LIMIT 1);
      INSERT INTO t VALUES (1, 0, 1.5, NULL), (1, 0, 1.5, NULL);
      UPDATE t SET a = 20 WHERE a = 2 AND f::text = '-0'; UPDATE t SET n = 9 WHERE a = 20;
      UPDATE t SET f = f WHERE a = 3;
      BEGIN; INSERT INTO t VALUES (7, 1, 1, 'x'); UPDATE t SET a = 8 WHERE a = 7; COMMIT`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    // One of three equal rows alone.
    await run(`DELETE FROM t WHERE a IN (3, 20);
      DELETE FROM t WHERE ctid = (SELECT ctid FROM t WHERE a = 1 AND n = 1.5 LIMIT 1)`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    await run(`TRUNCATE t; INSERT INTO t VALUES (1), (1)`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
  })

  test('trap: rows that exchange a deferrable key in one statement, identity full', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, v text); ALTER TABLE t REPLICA IDENTITY FULL;
       INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c')`,
      keyless,
    )
    expect(await world.follow()).toEqual({})
    await run(`UPDATE t SET id = 4 - id`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
  })

  test(`trap: a table without a key wanted append-only: its own UPDATE and DELETE go on working`, async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (a int, v text); INSERT INTO t VALUES (1, 'copied');
       CREATE TABLE none (id int PRIMARY KEY, v text); ALTER TABLE none REPLICA IDENTITY NOTHING;
       CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a')`,
      ['APPEND_ONLY'],
    )
    expect(await world.follow()).toEqual({})
    await run(`INSERT INTO t VALUES (2, 'streamed'), (2, 'streamed'); INSERT INTO none VALUES (1, 'x');
      UPDATE k SET v = 'b'`)
    // Published for updates, a table without an identity would refuse them: 55000.
    await run(`UPDATE t SET v = 'changed' WHERE a = 1; DELETE FROM t WHERE a = 2;
      UPDATE none SET v = 'y'; DELETE FROM none`)
    expect(await world.follow()).toEqual({})
    const rows = `SELECT a, v, __CHANGE_TYPE FROM rows ORDER BY __SEQUENCE, __ORDINAL`
    expect(await world.query('APPEND_ONLY', 't', rows)).toEqual([
      [1, 'copied', 'insert'],
      [2, 'streamed', 'insert'],
      [2, 'streamed', 'insert'],
    ])
    await world.expectEqual('k')
    await run(`TRUNCATE t; INSERT INTO t VALUES (3, 'later')`)
    expect(await world.follow()).toEqual({})
    expect((await world.query('APPEND_ONLY', 't', rows)).slice(3)).toEqual([
      [null, null, 'truncate'],
      [3, 'later', 'insert'],
    ])
  })

  test('trap: the publication of inserts is made long after the slot: the log before it is read without it', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a')`,
      ['APPEND_ONLY'],
    )
    expect(await world.follow()).toEqual({})
    // Not yet read when the publication is made.
    await run(`UPDATE k SET v = 'b'; CREATE TABLE t (a int); INSERT INTO t VALUES (1)`)
    expect(await world.follow()).toEqual({})
    await run(`INSERT INTO t VALUES (2); UPDATE k SET v = 'c'`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('k')
    await world.expectEqual('t')
    const rows = `SELECT a, __ORDINAL < 0 FROM rows ORDER BY a`
    expect(await world.query('APPEND_ONLY', 't', rows)).toEqual([
      [1, true],
      [2, false],
    ])
    // Nothing of the log was left out: the other table was not copied anew.
    const changes = `SELECT v, __CHANGE_TYPE, __ORDINAL < 0 FROM rows ORDER BY __SEQUENCE, __ORDINAL`
    expect(await world.query('APPEND_ONLY', 'k', changes)).toEqual([
      ['a', 'insert', true],
      ['b', 'update', false],
      ['c', 'update', false],
    ])
  })

  test('without identity full, and not append-only: refused by name, with both ways out', async () => {
    const { world, run } = await openWorld(`CREATE TABLE t (a int)`)
    expect(await world.follow()).toEqual({ 'source t': 'SOURCE_TABLE_WITHOUT_KEY' })
    const [table] = await world.source.discoverTables([`s${schemas - 1}`])
    const findings = await world.source.check(table === undefined ? [] : [table])
    const remedy = findings.find(({ code }) => code === 'SOURCE_TABLE_WITHOUT_KEY')?.remedy ?? ''
    expect(remedy).toContain('REPLICA IDENTITY FULL')
    expect(remedy).toContain('APPEND_ONLY')
    await run(`INSERT INTO t VALUES (1); UPDATE t SET a = 2; ALTER TABLE t REPLICA IDENTITY FULL`)
    expect(await world.follow()).toEqual({ 'versions.t': 'PIPELINE_SCD_UNSUPPORTED' })
    await world.expectEqual('t', keyless)
  })
})

describe('an identity that changes on the way', () => {
  test('trap: identity full → default with a key, and back: no row is lost or doubled', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (id int PRIMARY KEY, v text, body text);
       ALTER TABLE t REPLICA IDENTITY FULL;
       INSERT INTO t SELECT n, 'v', ${big('x')} FROM generate_series(1, 4) n`,
      keyed,
    )
    expect(await world.follow()).toEqual({})
    await run(`UPDATE t SET v = 'full' WHERE id = 1; UPDATE t SET id = 20 WHERE id = 2;
      ALTER TABLE t REPLICA IDENTITY DEFAULT;
      UPDATE t SET v = 'default' WHERE id = 1; UPDATE t SET id = 21 WHERE id = 20;
      UPDATE t SET id = 40 WHERE id = 4;
      ALTER TABLE t REPLICA IDENTITY FULL; UPDATE t SET id = 22 WHERE id = 21`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
  })

  test('trap: the key is dropped from a table with identity full: rows of one key are not merged', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (id int PRIMARY KEY, v text); ALTER TABLE t REPLICA IDENTITY FULL;
       INSERT INTO t VALUES (1, 'a'), (2, 'b')`,
      keyless,
    )
    expect(await world.follow()).toEqual({})
    await run(
      `ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1, 'second'), (1, 'second')`,
    )
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
    await run(`DELETE FROM t WHERE v = 'second'; ALTER TABLE t ADD PRIMARY KEY (id);
      UPDATE t SET v = 'keyed'`)
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
  })

  for (const [change, code, mend] of [
    ['REPLICA IDENTITY NOTHING', 'SOURCE_REPLICA_IDENTITY', 'REPLICA IDENTITY DEFAULT'],
    [
      'DROP CONSTRAINT t_pkey',
      'SOURCE_TABLE_WITHOUT_KEY',
      'ADD CONSTRAINT t_pkey PRIMARY KEY (id)',
    ],
  ] as const) {
    test(`trap: a table that loses its identity (${change}) leaves the publication: the source can write again`, async () => {
      const { world, run } = await openWorld(
        `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'a');
         CREATE TABLE other (id int PRIMARY KEY); INSERT INTO other VALUES (1)`,
      )
      expect(await world.follow()).toEqual({})
      await run(`ALTER TABLE t ${change}`)
      await expect(run(`UPDATE t SET v = 'b'`)).rejects.toThrow(/replica identity/)
      expect(Object.values(await world.follow())).toContain(code)
      await run(`UPDATE t SET v = 'b'; INSERT INTO other VALUES (2)`)
      await world.follow()
      await world.expectEqual('other')
      await run(`ALTER TABLE t ${mend}; UPDATE t SET v = 'c'`)
      expect(await world.follow()).toEqual({})
      await world.expectEqual('t')
    })
  }

  test('trap: the index of the identity is dropped: the table is refused until it has one', async () => {
    const { world, run } = await openWorld(
      `CREATE TABLE t (id int NOT NULL, v text); CREATE UNIQUE INDEX t_id ON t (id);
       ALTER TABLE t REPLICA IDENTITY USING INDEX t_id; INSERT INTO t VALUES (1, 'a')`,
    )
    expect(await world.follow()).toEqual({})
    await run(`UPDATE t SET v = 'b'; DROP INDEX t_id`)
    expect(Object.values(await world.follow())).toContain('SOURCE_TABLE_WITHOUT_KEY')
    await run(
      `UPDATE t SET v = 'c'; ALTER TABLE t ADD PRIMARY KEY (id); ALTER TABLE t REPLICA IDENTITY DEFAULT`,
    )
    expect(await world.follow()).toEqual({})
    await world.expectEqual('t')
  })
})

/** Generated columns: stored ones where the server sends them (18), others by name left out. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, type Scene } from '../support/bad-input.ts'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'

const canSend = postgresVersion >= 18

let server: EmbeddedPostgres
let scene: Scene
let publication: string

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  scene = await createScene(server, 'generated')
  const further = canSend
    ? `ALTER TABLE app.made ADD v int GENERATED ALWAYS AS (a + 1) VIRTUAL;
      CREATE TABLE app.keyed (a int, k text GENERATED ALWAYS AS ('k' || a) STORED PRIMARY KEY);
      CREATE TABLE app.whole (a int, k int GENERATED ALWAYS AS (a * 2) STORED);
      ALTER TABLE app.whole REPLICA IDENTITY FULL;
      INSERT INTO app.keyed VALUES (1), (2); INSERT INTO app.whole VALUES (1), (1), (2)`
    : 'SELECT'
  await scene.sqlAsRole(`CREATE TABLE app.made (id int PRIMARY KEY, a int NOT NULL,
      twice numeric(9,2) GENERATED ALWAYS AS (a * 2) STORED, note text,
      label text GENERATED ALWAYS AS (repeat('x"\\' || a, 3000)) STORED);
    CREATE TABLE app.parts (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED)
      PARTITION BY RANGE (id);
    CREATE TABLE app.part1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100);
    CREATE TABLE app.part2 (twice int GENERATED ALWAYS AS (a * 2) STORED, a int, id int NOT NULL PRIMARY KEY);
    ALTER TABLE app.parts ATTACH PARTITION app.part2 FOR VALUES FROM (100) TO (10000);
    INSERT INTO app.made (id, a, note) SELECT n, n, 'n' FROM generate_series(1, 9) n;
    INSERT INTO app.parts (id, a) SELECT n, n FROM generate_series(1, 199, 50) n; ${further}`)
  await run()
  publication = String((await scene.sql('SELECT pubname FROM pg_publication'))[0]?.['pubname'])
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

/** Until everything is there; whoever changes a publication makes its tables be copied anew. */
async function run(): Promise<string> {
  const { exitCode, text } = await scene.runOnce('--log-level', 'info')
  expect(exitCode, text).toBe(0)
  return text
}

async function change(id: number, others = canSend): Promise<void> {
  await scene.sqlAsRole(`INSERT INTO app.made (id, a, note) VALUES (${id}, ${id}, 'late');
    UPDATE app.made SET a = a + 1 WHERE id = 1; UPDATE app.made SET note = 'only' WHERE id = 2;
    UPDATE app.made SET id = -${id} WHERE id = ${id}; DELETE FROM app.made WHERE id = 3;
    INSERT INTO app.parts (id, a) VALUES (${id}, 1), (${100 + id}, 2);
    UPDATE app.parts SET id = 300 - id WHERE id = ${id}`)
  if (!others) return
  await scene.sqlAsRole(`INSERT INTO app.keyed VALUES (${id}); UPDATE app.keyed SET a = -a WHERE a = ${id};
    DELETE FROM app.whole WHERE ctid = (SELECT min(ctid) FROM app.whole); INSERT INTO app.whole VALUES (${id}), (${id})`)
}

async function columnsOf(table: string): Promise<readonly string[]> {
  const { text } = await scene.call('query', `SELECT * FROM ${table} LIMIT 1`)
  return Object.keys(JSON.parse(text.trim().split('\n')[0] ?? '{}') as object)
}

async function expectColumns(...generated: readonly string[]): Promise<void> {
  const columns = await columnsOf('made')
  expect(columns.filter((name) => !['id', 'a', 'note'].includes(name))).toEqual(generated)
  await scene.expectEqual('made', 'parts')
}

const sent = canSend ? ['twice', 'label'] : []

test('trap: a copy and the log have the same generated columns', async () => {
  await change(20)
  expect(await run()).not.toContain('table is copied anew')
  await expectColumns(...sent)
  if (canSend) await scene.expectEqual('keyed', 'whole')
  const { text } = await scene.call('check', scene.file)
  expect(text).toContain(`Generated columns are left out: ${canSend ? 'v' : 'twice, label'}"`)
})

test('a generated column becomes an ordinary one, is added, and has another expression', async () => {
  await change(30)
  await scene.sqlAsRole(`ALTER TABLE app.made ALTER twice DROP EXPRESSION;
    ALTER TABLE app.made ADD more int GENERATED ALWAYS AS (a * 3) STORED`)
  await change(31)
  await scene.sqlAsRole(`UPDATE app.made SET twice = -1 WHERE id = 4`)
  await run()
  await expectColumns(...(canSend ? ['twice', 'label', 'more'] : ['twice']))
  if (postgresVersion < 17) return
  await change(32)
  await scene.sqlAsRole(`ALTER TABLE app.made ALTER label SET EXPRESSION AS ('other' || a)`)
  await change(33)
  await run()
  await expectColumns(...(canSend ? ['twice', 'label', 'more'] : ['twice']))
})

if (canSend) {
  test('trap: the publication of ours stops sending generated columns for a while', async () => {
    const set = (what: string): string =>
      `ALTER PUBLICATION ${publication} SET (publish_generated_columns = ${what})`
    await scene.sql(set('none'))
    // Without them the server refuses to update what is identified by them.
    await change(40, false)
    await run()
    await expectColumns('twice', 'label', 'more')
    await scene.sql(set('none'))
    await change(41, false)
    await scene.sql(set('stored'))
    await change(42)
    await run()
    await expectColumns('twice', 'label', 'more')
    await scene.expectEqual('keyed', 'whole')
  })

  test('a publication of somebody else decides, for copies and for the log', async () => {
    await scene.sqlAsRole('DROP TABLE app.keyed, app.whole')
    await scene.runOnce()
    await scene.sql(`COMMENT ON PUBLICATION ${publication} IS NULL;
      ALTER PUBLICATION ${publication} SET (publish_generated_columns = none)`)
    await scene.sqlAsRole(`UPDATE app.made SET a = a + 1 WHERE id = 1`)
    await scene.runOnce()
    await scene.sqlAsRole(`UPDATE app.made SET a = a + 1 WHERE id = 1`)
    expect(await run()).not.toContain('table is copied anew')
    await expectColumns('twice')
    const { text } = await scene.call('check', scene.file)
    expect(text).toContain('Generated columns are left out: label, v, more')
    const statement = /ALTER PUBLICATION [^;]*publish_generated_columns[^;]*;/.exec(text)?.[0] ?? ''
    await scene.sql(statement.replaceAll('\\"', '"'))
    await scene.sqlAsRole(`UPDATE app.made SET a = a + 1 WHERE id = 1`)
    await scene.runOnce()
    await expectColumns('twice', 'label', 'more')
  })

  test('trap: a published partition whose own updates the server refuses', async () => {
    await scene.sqlAsRole(`CREATE TABLE app.tree (id int PRIMARY KEY, a int,
        v int GENERATED ALWAYS AS (a + 1) VIRTUAL) PARTITION BY RANGE (id);
      CREATE TABLE app.leaf PARTITION OF app.tree DEFAULT;
      INSERT INTO app.tree VALUES (1, 1); ALTER TABLE app.leaf REPLICA IDENTITY FULL`)
    await scene.sql(`COMMENT ON PUBLICATION ${publication} IS 'Made by Sluice'`)
    const { failed, text } = await scene.runOnce()
    const problem = failed.get('app.tree')
    expect(problem, text).toMatchObject({ code: 'SOURCE_REPLICA_IDENTITY' })
    await scene.sqlAsRole(`UPDATE app.tree SET a = 2; ${problem?.remedy ?? ''}`)
    await scene.runOnce()
    await scene.sqlAsRole(`UPDATE app.tree SET a = 3`)
    await scene.runOnce()
    await scene.expectEqual('tree')
  })

  test('trap: a published table whose own updates the server refuses', async () => {
    await scene.sqlAsRole(`CREATE TABLE app.refused (id int PRIMARY KEY, a int,
        v int GENERATED ALWAYS AS (a + 1) VIRTUAL);
      INSERT INTO app.refused VALUES (1, 1); ALTER TABLE app.refused REPLICA IDENTITY FULL`)
    await scene.sql(`COMMENT ON PUBLICATION ${publication} IS 'Made by Sluice'`)
    const { failed, text } = await scene.runOnce()
    expect(failed.get('app.refused'), text).toMatchObject({ code: 'SOURCE_REPLICA_IDENTITY' })
    await scene.sqlAsRole(`UPDATE app.refused SET a = 2`)
    await scene.sqlAsRole(failed.get('app.refused')?.remedy ?? '')
    await scene.runOnce()
    await scene.sqlAsRole(`UPDATE app.refused SET a = 3`)
    await scene.runOnce()
    await scene.expectEqual('refused')
    expect(await columnsOf('refused')).toEqual(['id', 'a'])
    await scene.sqlAsRole(`ALTER TABLE app.refused REPLICA IDENTITY FULL`)
    await scene.runOnce()
    await scene.sqlAsRole(`UPDATE app.refused SET a = 4`)
  })
}

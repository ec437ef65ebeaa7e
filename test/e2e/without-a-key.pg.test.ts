/** Tables without a key from the command line: what can be proven of them, and partitioned ones. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off', synchronous_commit: 'off' } })
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

const place = 'source_schema: app, destination_catalog: main, destination_schema: copy'

async function sceneOf(name: string, sql: string, settings = ''): Promise<Scene> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  await scene.sqlAsRole(sql)
  scene.writeFile({ objects: [`table: {${place}, source_table: t${settings}}`] })
  return scene
}

async function runDone(scene: Scene): Promise<Called> {
  const done = await scene.runOnce()
  expect(done.exitCode, done.text).toBe(0)
  return done
}

test('verify of a table whose inserts alone are followed calls nothing wrong that they cannot tell', async () => {
  const scene = await sceneOf(
    'inserts',
    `CREATE TABLE app.t (a int, v text); INSERT INTO app.t SELECT n % 4, 'v' FROM generate_series(1, 20) n`,
    ', table_configuration: {scd_type: APPEND_ONLY}',
  )
  await runDone(scene)
  const verified = async (): Promise<Record<string, unknown>> => {
    const called = await scene.call('verify')
    const table = called.lines.find(({ event }) => event === 'verified')
    return { exitCode: called.exitCode, ...table }
  }
  await scene.sqlAsRole(`INSERT INTO app.t VALUES (1, 'v'), (9, NULL)`)
  expect(await verified()).toMatchObject({ exitCode: 0, isEqual: true, destinationRows: 22 })
  // Rows that went: what is left is here all the same.
  await scene.sqlAsRole(`DELETE FROM app.t WHERE ctid IN (SELECT ctid FROM app.t LIMIT 3)`)
  expect(await verified()).toMatchObject({
    exitCode: 0,
    isEqual: false,
    insertsOnly: { kind: 'complete', unmatched: 0, others: 3 },
    missing: 0,
  })
  await scene.sqlAsRole(`UPDATE app.t SET v = 'changed' WHERE a = 9`)
  expect(await verified()).toMatchObject({
    exitCode: 0,
    isEqual: false,
    insertsOnly: { kind: 'not comparable', unmatched: 1, others: 4 },
    differences: [],
  })
})

for (const [root, partitions, code] of [
  ['FULL', 'DEFAULT', 'SOURCE_REPLICA_IDENTITY'],
  ['DEFAULT', 'FULL', 'SOURCE_TABLE_WITHOUT_KEY'],
] as const) {
  test(`a partitioned table without a key, identity ${root}, of its partitions ${partitions}: refused by name until all are full`, async () => {
    const scene = await sceneOf(
      `parted_${root}_${partitions}`.toLowerCase(),
      `CREATE TABLE app.t (a int, v text) PARTITION BY RANGE (a);
       CREATE TABLE app.t_1 PARTITION OF app.t FOR VALUES FROM (0) TO (10);
       CREATE TABLE app.t_2 (v text, a int); ALTER TABLE app.t ATTACH PARTITION app.t_2 DEFAULT;
       ALTER TABLE app.t REPLICA IDENTITY ${root};
       ALTER TABLE app.t_1 REPLICA IDENTITY ${partitions};
       ALTER TABLE app.t_2 REPLICA IDENTITY ${partitions};
       INSERT INTO app.t SELECT n % 20, 'v' FROM generate_series(1, 60) n`,
    )
    const refused = await scene.runOnce()
    expect(refused.exitCode, refused.text).toBe(1)
    const problem = refused.failed.get('app.t')
    expect(problem?.code).toBe(code)
    expect(problem?.remedy).toContain('REPLICA IDENTITY FULL')
    await scene.sqlAsRole(`ALTER TABLE app.t REPLICA IDENTITY FULL;
      ALTER TABLE app.t_1 REPLICA IDENTITY FULL; ALTER TABLE app.t_2 REPLICA IDENTITY FULL`)
    await runDone(scene)
    await scene.expectEqual('t')
    if (root === 'DEFAULT') return
    await scene.sqlAsRole(`
      UPDATE app.t_1 SET v = 'changed' WHERE ctid IN (SELECT ctid FROM app.t_1 WHERE a = 3 LIMIT 1);
      UPDATE app.t SET a = a + 10 WHERE a = 4; DELETE FROM app.t WHERE a = 15;
      INSERT INTO app.t VALUES (1, 'v'), (1, 'v'), (NULL, NULL), (NULL, NULL)`)
    await runDone(scene)
    await scene.expectEqual('t')
    await scene.sqlAsRole(`TRUNCATE app.t_1; INSERT INTO app.t VALUES (2, 'after')`)
    await runDone(scene)
    await scene.expectEqual('t')
  })
}

/** Known by whole rows at best, which the server refuses because of a column it computes. */
async function virtualScene(name: string, identity: string): Promise<Scene> {
  return await sceneOf(
    name,
    `CREATE TABLE app.t (a int, v text, "G g" int GENERATED ALWAYS AS (a + 1) VIRTUAL) PARTITION BY RANGE (a);
     CREATE TABLE app.t_1 PARTITION OF app.t FOR VALUES FROM (0) TO (10);
     CREATE TABLE app.t_2 PARTITION OF app.t DEFAULT;
     ALTER TABLE app.t REPLICA IDENTITY ${identity};
     ALTER TABLE app.t_1 REPLICA IDENTITY ${identity}; ALTER TABLE app.t_2 REPLICA IDENTITY ${identity};
     INSERT INTO app.t SELECT n % 20, 'v' FROM generate_series(1, 60) n`,
  )
}

async function expectFollowed(scene: Scene): Promise<void> {
  await runDone(scene)
  await scene.sqlAsRole(
    `UPDATE app.t SET v = 'changed' WHERE a = 4; DELETE FROM app.t WHERE a = 15`,
  )
  await runDone(scene)
  await scene.expectEqual('t')
}

// Virtual columns came with version 18.
if (postgresVersion >= 18) {
  test('trap: a partitioned table without a key, with a virtual column: FULL would stop its application', async () => {
    const scene = await virtualScene('parted_virtual', 'DEFAULT')
    const remedy = (await scene.runOnce()).failed.get('app.t')?.remedy ?? ''
    // Pasted unseen it does nothing: which way to go is for a person to say.
    for (const line of remedy.split('\n')) expect(line).toMatch(/^--.*(PRIMARY KEY|FULL)/)
    const full = /columns: (.*;) and every/.exec(remedy)?.[1] ?? ''
    expect(full).toContain('DROP COLUMN "G g"')
    await scene.sqlAsRole(full)
    await expectFollowed(scene)
  })

  test('trap: one that is FULL already and would be published so', async () => {
    const scene = await virtualScene('parted_virtual_full', 'FULL')
    const refused = await scene.runOnce()
    const problem = refused.failed.get('app.t')
    expect(problem, refused.text).toMatchObject({ code: 'SOURCE_REPLICA_IDENTITY' })
    await scene.sqlAsRole(`UPDATE app.t SET v = 'as before' WHERE a = 3`)
    const findings = (await scene.call('check', scene.file)).lines.filter(
      (line) => line['code'] === 'SOURCE_REPLICA_IDENTITY',
    )
    expect(findings).toHaveLength(2)
    for (const finding of findings) await scene.sqlAsRole(String(finding['remedy']))
    await expectFollowed(scene)
  })
}

test('trap: a new partition without an identity is refused between runs, and taken in when it is mended', async () => {
  const scene = await sceneOf(
    'parted_later',
    `CREATE TABLE app.t (a int, v text) PARTITION BY RANGE (a);
     CREATE TABLE app.t_1 PARTITION OF app.t FOR VALUES FROM (0) TO (10);
     ALTER TABLE app.t REPLICA IDENTITY FULL; ALTER TABLE app.t_1 REPLICA IDENTITY FULL;
     INSERT INTO app.t VALUES (1, 'v'), (1, 'v')`,
  )
  await runDone(scene)
  await scene.sqlAsRole(`CREATE TABLE app.t_2 PARTITION OF app.t FOR VALUES FROM (10) TO (20);
    INSERT INTO app.t VALUES (11, 'v')`)
  const refused = await scene.runOnce()
  expect(refused.failed.get('app.t')).toMatchObject({
    code: 'SOURCE_REPLICA_IDENTITY',
    remedy: 'ALTER TABLE "app"."t_2" REPLICA IDENTITY FULL;',
  })
  // The server lets the application do so.
  await scene.sqlAsRole(`UPDATE app.t SET v = 'changed' WHERE a = 11`)
  await scene.sqlAsRole('ALTER TABLE app.t_2 REPLICA IDENTITY FULL')
  await runDone(scene)
  await scene.expectEqual('t')
  await scene.sqlAsRole(`UPDATE app.t SET v = 'again' WHERE a = 11; DELETE FROM app.t_1`)
  await runDone(scene)
  await scene.expectEqual('t')
})

/** Bad input: `check` on a server where everything is wrong at once. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres({
    settings: {
      wal_level: 'replica',
      max_wal_senders: '0',
      max_replication_slots: '1',
      max_slot_wal_keep_size: '1MB',
      max_prepared_transactions: '2',
      idle_replication_slot_timeout: '1h',
    },
  })
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

interface Found {
  readonly severity: string
  readonly code?: string
  readonly subject: string
  readonly table?: string
  readonly tables?: readonly string[]
  readonly remedy?: string
}

function findings(called: Called): readonly Found[] {
  return called.lines.filter((line) => line['event'] === 'finding') as unknown as Found[]
}

function unmet(called: Called): readonly string[] {
  return findings(called)
    .filter(({ severity }) => severity !== 'ok')
    .map(({ severity, code, table, subject }) => `${severity} ${code} ${table ?? subject}`)
}

const tables = `
  CREATE SCHEMA shop;
  CREATE TABLE shop.good (id int PRIMARY KEY, v text);
  CREATE TABLE shop.keyless (v text);
  CREATE TABLE shop.unlabelled (id int PRIMARY KEY, v text);
  ALTER TABLE shop.unlabelled REPLICA IDENTITY NOTHING;
  CREATE TABLE shop.hidden (id int PRIMARY KEY, v text);
  ALTER TABLE shop.hidden ENABLE ROW LEVEL SECURITY;
  CREATE UNLOGGED TABLE shop.volatile (v text);
  CREATE TABLE shop.clash (id int PRIMARY KEY, "Id" int, id_2 int);
  CREATE TABLE shop.late (id int PRIMARY KEY DEFERRABLE);
  CREATE TABLE shop.loose (id int NOT NULL, v text);
  CREATE UNIQUE INDEX loose_id ON shop.loose (id);
  INSERT INTO shop.good VALUES (1, 'a');
  INSERT INTO shop.keyless VALUES ('a'), ('a');
  INSERT INTO shop.volatile VALUES ('a');`

test('check lists all of it with statements that mend it, for a role with no rights at all', async () => {
  const scene = await createScene(server, 'wrong')
  scenes.push(scene)
  await server.sql(`CREATE ROLE nobody LOGIN PASSWORD '${scene.password}'`)
  await scene.sql(`REVOKE ALL ON SCHEMA public FROM public; ${tables}`)
  await server.sql(`SELECT pg_create_physical_replication_slot('somebody')`)
  await scene.sql(`BEGIN; INSERT INTO shop.good VALUES (2, 'b'); PREPARE TRANSACTION 'left ''over'`)
  scene.writeFile({
    user: 'nobody',
    objects: ['schema: {source_schema: shop, destination_catalog: main, destination_schema: copy}'],
  })
  const check = await scene.call('check', scene.file)
  expect(check.exitCode, check.text).toBe(1)
  const found = unmet(check)
  expect(found.filter((line) => !line.includes('shop.'))).toEqual([
    'error SOURCE_WAL_LEVEL wal_level',
    'error SOURCE_NO_FREE_SLOT max_replication_slots',
    'error SOURCE_NO_FREE_SLOT max_wal_senders',
    'error SOURCE_REPLICATION_DENIED replication',
    'error SOURCE_PUBLICATION_MISSING publication',
    'warning SOURCE_LOG_RETENTION max_slot_wal_keep_size',
    'warning SOURCE_LOG_RETENTION idle_replication_slot_timeout',
    'warning SOURCE_SLOT_BLOCKED prepared transactions',
    'error SOURCE_PERMISSION_DENIED privileges',
    'error SOURCE_PUBLICATION_INCOMPLETE publication',
  ])
  // One finding, however many rights and tables.
  const [denied, ...more] = findings(check).filter(
    ({ code }) => code === 'SOURCE_PERMISSION_DENIED',
  )
  expect(more).toEqual([])
  const all = ['clash', 'good', 'hidden', 'keyless', 'late', 'loose', 'unlabelled', 'volatile']
  expect(denied?.tables).toEqual(all.map((table) => `shop.${table}`))
  const of = (table: string): readonly string[] =>
    found.filter((line) => line.endsWith(` shop.${table}`)).map((line) => line.split(' ')[1] ?? '')
  const unpublished = (called: Called): readonly (readonly string[] | undefined)[] =>
    findings(called)
      .filter(({ code }) => code === 'SOURCE_PUBLICATION_INCOMPLETE')
      .map((finding) => finding.tables)
  expect(unpublished(check)).toEqual([denied?.tables])
  expect(of('good')).toEqual([])
  expect(of('keyless')).toEqual(['SOURCE_TABLE_WITHOUT_KEY'])
  expect(of('unlabelled')).toEqual(['SOURCE_REPLICA_IDENTITY'])
  expect(of('hidden')).toEqual(['SOURCE_ROW_SECURITY'])
  expect(of('volatile')).toEqual(['SOURCE_TABLE_UNSUPPORTED', 'SOURCE_TABLE_WITHOUT_KEY'])
  expect(of('clash')).toEqual(['SOURCE_COLUMN_NAMES_CLASH'])
  expect(of('late')).toEqual(['SOURCE_TABLE_WITHOUT_KEY'])
  expect(of('loose')).toEqual(['SOURCE_TABLE_WITHOUT_KEY'])
  expect(scene.files(/./)).toEqual([])

  await runRemedies(scene, check)
  await server.shutdown()
  await server.start()
  // Publishing a table that has no identity yet would break its writers, so it is offered only now.
  const second = await scene.call('check', scene.file)
  expect(unmet(second)).toEqual(['error SOURCE_PUBLICATION_INCOMPLETE publication'])
  expect(unpublished(second)).toEqual([
    ['keyless', 'late', 'loose', 'unlabelled', 'volatile'].map((table) => `shop.${table}`),
  ])
  await runRemedies(scene, second)
  const again = await scene.call('check', scene.file)
  expect(unmet(again)).toEqual([])
  expect(again.exitCode, again.text).toBe(0)
  // What check was content with is enough, and the publication it named is the one that is used.
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(0)
  await scene.sql(`UPDATE shop.good SET v = 'changed'; DELETE FROM shop.keyless`)
  expect((await scene.runOnce()).exitCode).toBe(0)
  expect(await scene.sql('SELECT pubname FROM pg_publication')).toHaveLength(1)
  await scene.expectEqual()
})

async function runRemedies(scene: Scene, check: Parameters<typeof findings>[0]): Promise<void> {
  for (const { severity, remedy } of findings(check)) {
    if (severity !== 'ok') await runStatements(scene, remedy ?? '')
  }
}

/** As psql does: one by one, because ALTER SYSTEM does not like company. */
async function runStatements(scene: Scene, remedy: string): Promise<void> {
  const client = await server.connect(scene.database)
  try {
    for (const statement of remedy.replace(/--.*$/gm, '').split(/;\s*/)) {
      if (statement.trim() !== '') await client.query(statement)
    }
  } finally {
    await client.end()
  }
}

test('a role that may not enter the database is told all it needs, and one paste is enough', async () => {
  const scene = await createScene(server, 'outside')
  scenes.push(scene)
  const role = 'out"side'
  await server.sql(`CREATE ROLE "out""side" LOGIN PASSWORD '${scene.password}'`)
  await scene.sql(`REVOKE CONNECT ON DATABASE ${scene.database} FROM PUBLIC;
    CREATE SCHEMA "It's"; REVOKE ALL ON SCHEMA "It's", public FROM PUBLIC;
    CREATE TABLE "It's"."A_b" (id int PRIMARY KEY); INSERT INTO "It's"."A_b" VALUES (1);
    CREATE TABLE "It's".hidden (id int PRIMARY KEY);
    ALTER TABLE "It's".hidden ENABLE ROW LEVEL SECURITY;
    CREATE TABLE "It's".tree (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE "It's".leaf PARTITION OF "It's".tree DEFAULT; INSERT INTO "It's".tree VALUES (1);
    CREATE TABLE "It's".unsaid (id int); INSERT INTO "It's".unsaid VALUES (1)`)
  scene.writeFile({
    user: `'${role}'`,
    objects: [
      `schema: {source_schema: "It's", destination_catalog: main, destination_schema: copy}`,
      'table: {source_schema: app, source_table: orders, destination_catalog: main, destination_schema: copy}',
    ],
  })
  const shut = await scene.call('check', scene.file)
  expect(shut.exitCode).toBe(1)
  const [finding, ...others] = findings(shut)
  expect([finding?.code, others]).toEqual(['SOURCE_PERMISSION_DENIED', []])
  // Twice, as somebody who is not sure would; in the database itself.
  for (let paste = 0; paste < 2; paste++) await scene.sql(finding?.remedy ?? '')
  const open = await scene.call('check', scene.file)
  // Publishing it now would have its updates refused.
  expect(unmet(open).filter((line) => line.startsWith('error'))).toEqual([
    `error SOURCE_TABLE_WITHOUT_KEY It's.unsaid`,
    `error SOURCE_PUBLICATION_INCOMPLETE It's.unsaid`,
  ])
  await scene.sql(`UPDATE "It's".unsaid SET id = 2; DROP TABLE "It's".unsaid`)
  expect((await scene.call('check', scene.file)).exitCode).toBe(0)
  expect((await scene.runOnce()).exitCode).toBe(0)
  await scene.expectEqual()
})

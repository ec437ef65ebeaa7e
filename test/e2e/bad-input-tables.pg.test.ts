/** Bad input: single tables that cannot be copied, while the others go on; and values no type holds. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

async function sceneOf(name: string): Promise<Scene> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  return scene
}

/** One table failed, by this name and with this code; the others are loaded. */
function expectOnlyFailed(called: Called, table: string, code: string): string {
  expect(called.exitCode, called.text).toBe(1)
  expect([...called.failed.keys()]).toEqual([table])
  expect(called.failed.get(table)).toMatchObject({ code })
  return called.failed.get(table)?.remedy ?? ''
}

async function expectDone(called: Promise<Called>): Promise<Called> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
  return done
}

test.concurrent('no SELECT on one table: the others go on, the remedy mends it', async () => {
  const scene = await sceneOf('noselect')
  await scene.sql(`REVOKE SELECT ON app.people FROM ${scene.role}`)
  const run = await scene.runOnce()
  const remedy = expectOnlyFailed(run, 'app.people', 'SOURCE_PERMISSION_DENIED')
  expect(run.failed.get('app.people')?.message).toContain(scene.role)
  await scene.expectEqual('orders')
  const status = await scene.call('status')
  expect(status.text).toContain('SOURCE_PERMISSION_DENIED')
  await scene.sql(remedy)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test.concurrent('no SELECT on several tables: the others go on, one remedy mends all', async () => {
  const scene = await sceneOf('noselects')
  await scene.sqlAsRole('CREATE TABLE app.more (id int PRIMARY KEY)')
  await scene.sql(`REVOKE SELECT ON app.people, app.more FROM ${scene.role}`)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect([...run.failed].map(([table, { code }]) => `${table} ${code}`).toSorted()).toEqual([
    'app.more SOURCE_PERMISSION_DENIED',
    'app.people SOURCE_PERMISSION_DENIED',
  ])
  await scene.expectEqual('orders')
  await scene.sql(run.failed.get('app.more')?.remedy ?? '')
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test.concurrent('a table without a key: the others go on, the remedy mends it', async () => {
  const scene = await sceneOf('nokey')
  await scene.sqlAsRole(
    `CREATE TABLE app.loose (a int, b text); INSERT INTO app.loose VALUES (1, 'x'), (1, 'x')`,
  )
  const remedy = expectOnlyFailed(await scene.runOnce(), 'app.loose', 'SOURCE_TABLE_WITHOUT_KEY')
  // What is wanted and not there is not proven, and has a name.
  const verified = await scene.call('verify')
  expect(verified.exitCode, verified.text).toBe(1)
  expect(verified.text).toContain('"destination":"app.loose"')
  expect((await scene.call('status')).text).toContain('(not loaded) app.loose')
  await scene.expectEqual('orders', 'people')
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'goes on' WHERE id < 5`)
  expectOnlyFailed(await scene.runOnce(), 'app.loose', 'SOURCE_TABLE_WITHOUT_KEY')
  await scene.expectEqual('orders', 'people')
  await scene.sqlAsRole(remedy)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test.concurrent('a table named in the file and not in the source', async () => {
  const scene = await sceneOf('typo')
  const destination = 'source_schema: app, destination_catalog: main, destination_schema: copy'
  scene.writeFile({
    objects: [
      `table: {${destination}, source_table: orders}`,
      `table: {${destination}, source_table: Peoples}`,
    ],
  })
  const run = await scene.runOnce()
  expectOnlyFailed(run, 'app.Peoples', 'GATEWAY_TABLE_NOT_FOUND')
  await scene.expectEqual('orders')
})

test.concurrent('tables whose names no folder can have, or hidden: the others go on, a partitioned one among them', async () => {
  const scene = await sceneOf('uglynames')
  await scene.sqlAsRole(`
    CREATE TABLE app."Order Details" (id int PRIMARY KEY, v text);
    CREATE TABLE app."a/b" (id int PRIMARY KEY, v text);
    CREATE TABLE app."Cased" (id int PRIMARY KEY, v text);
    CREATE TABLE app.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (1) TO (10);
    INSERT INTO app."Order Details" VALUES (1, 'x');
    INSERT INTO app."Cased" VALUES (1, 'x');
    INSERT INTO app.parts VALUES (1, 'x')`)
  await scene.sql(`CREATE TABLE app.hidden (id int PRIMARY KEY)`)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  const codes = [...run.failed].map(([table, { code }]) => `${table} ${code}`)
  expect(codes.toSorted()).toEqual([
    'app.hidden SOURCE_PERMISSION_DENIED',
    'main.copy.a/b CONFIG_INVALID_NAME',
    'main.copy.order details CONFIG_INVALID_NAME',
  ])
  await scene.expectEqual('orders', 'people', 'cased', 'parts')
  const verified = await scene.call('verify')
  expect(verified.exitCode, verified.text).toBe(1)
  expect(verified.error, verified.text).toBeUndefined()
  expect((await scene.call('status')).exitCode).toBe(0)
  const place = 'source_schema: app, destination_catalog: main, destination_schema: copy'
  scene.writeFile({
    objects: [
      `schema: {${place}}`,
      `table: {${place}, source_table: Order Details, destination_table: order_details}`,
      `table: {${place}, source_table: a/b, destination_table: a_b}`,
    ],
  })
  await scene.sql('DROP TABLE app.hidden')
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test.concurrent('check refuses beforehand what a run would refuse, in the same words', async () => {
  const scene = await sceneOf('foretold')
  await scene.sqlAsRole(`
    CREATE TABLE app.staged (id int PRIMARY KEY, _op text, "_SEQ" int);
    CREATE TABLE app.versioned (id int PRIMARY KEY, "__START_AT" timestamp);
    CREATE TABLE app."a.b" (id int PRIMARY KEY);
    CREATE TABLE app."say ""x""" (id int PRIMARY KEY);
    CREATE TABLE app."Mixed" (id int PRIMARY KEY); CREATE TABLE app.mixed (id int PRIMARY KEY)`)
  const place = 'source_schema: app, destination_catalog: main, destination_schema: copy'
  scene.writeFile({
    objects: [`schema: {${place}, table_configuration: {scd_type: SCD_TYPE_2}}`],
  })
  const check = await scene.call('check', scene.file)
  expect(check.exitCode, check.text).toBe(1)
  const findings = check.lines.filter((line) => line['severity'] === 'error')
  const foretold = findings.map(
    ({ code, table, tables }) => `${String(code)} ${JSON.stringify(tables ?? table)}`,
  )
  expect(foretold.toSorted()).toEqual([
    'CONFIG_INVALID_NAME "app.a.b"',
    'CONFIG_INVALID_NAME "app.say \\"x\\""',
    'DESTINATION_COLUMN_CLASH "app.versioned"',
    'GATEWAY_COLUMN_CLASH "app.staged"',
    'PIPELINE_NAME_COLLISION ["app.Mixed","app.mixed"]',
  ])
  // The slot gets its name by the first run: none that is not its own is told.
  const slot = check.lines.find((line) => line['subject'] === 'replication slot')
  expect(slot).toMatchObject({ severity: 'ok' })
  expect(String(slot?.['message'])).not.toContain('sluice_')
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  const said = new Set(
    [...run.failed.values()].map(({ code, message, remedy }) => `${code} ${message} ${remedy}`),
  )
  const told = findings.map(
    ({ code, message, remedy }) => `${String(code)} ${String(message)} ${String(remedy)}`,
  )
  expect([...said].toSorted()).toEqual(told.toSorted())
})

test.concurrent('a column dropped and made again under its name: the table is copied anew', async () => {
  const scene = await sceneOf('remade')
  await expectDone(scene.runOnce())
  await scene.sqlAsRole('ALTER TABLE app.orders DROP note; ALTER TABLE app.orders ADD note text')
  await scene.sqlAsRole('ALTER TABLE app.people DROP name; ALTER TABLE app.people ADD name text')
  await scene.sqlAsRole(`UPDATE app.people SET name = 'again' WHERE id = 1`)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
  await expectDone(scene.runOnce())
  expect(scene.files(/snapshot.2\/.*\.parquet$/)).toEqual([])
})

test.concurrent('publication dropped between runs: every table is copied anew', async () => {
  const scene = await sceneOf('pubdrop')
  await expectDone(scene.runOnce())
  const [publication] = await scene.sql('SELECT pubname FROM pg_publication')
  await scene.sql(`DROP PUBLICATION ${String(publication?.['pubname'])}`)
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'unpublished' WHERE id < 5;
    DELETE FROM app.people WHERE id > 40`)
  const run = await expectDone(scene.runOnce())
  expect(run.text).toContain('does not exist any more')
  await scene.expectEqual()
})

test.concurrent('a table out of the publication for a while: it is copied anew, alone', async () => {
  const scene = await sceneOf('pubtable')
  await expectDone(scene.runOnce())
  const [publication] = await scene.sql('SELECT pubname FROM pg_publication')
  const alter = `ALTER PUBLICATION ${String(publication?.['pubname'])}`
  await scene.sql(`${alter} DROP TABLE app.orders`)
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'unpublished' WHERE id < 5`)
  await scene.sql(`${alter} ADD TABLE app.orders`)
  await scene.sqlAsRole(`DELETE FROM app.people WHERE id > 40`)
  const run = await expectDone(scene.runOnce('--log-level', 'info'))
  const copied = scene.files(/snapshot.1\/.*\.parquet$/)
  expect(copied).toHaveLength(1)
  const isAnew = ({ message }: Record<string, unknown>): boolean =>
    String(message).startsWith('table is copied anew: ')
  expect(run.lines.filter(isAnew)).toMatchObject([{ table: 'app.orders', level: 'info' }])
  await scene.expectEqual()
})

test.concurrent('an infinite date stops its table until the file says what to do: copied and followed', async () => {
  const scene = await sceneOf('infinite')
  await scene.sqlAsRole(`INSERT INTO app.orders VALUES (1000, 'a', 'infinity')`)
  const run = await scene.runOnce()
  const remedy = expectOnlyFailed(run, 'main.copy.orders', 'DESTINATION_VALUE_UNFIT')
  expect(remedy).toContain('sluice.unfitValues')
  expect(run.failed.get('main.copy.orders')?.message).toContain('column "day" has 1 value that')
  const notice = expect.objectContaining({ level: 'warn', table: 'app.orders', column: 'day' })
  expect(run.lines).toContainEqual(notice)
  await scene.expectEqual('people')
  let row = 1001
  const held = { null: 'WHERE day IS NULL', string: `WHERE day = 'infinity'` }
  for (const policy of ['null', 'string'] as const) {
    scene.writeFile({ settings: `sluice.unfitValues: "${policy}"` })
    await expectDone(scene.runOnce())
    await scene.sqlAsRole(`INSERT INTO app.orders VALUES (${row++}, 'a', 'infinity')`)
    await expectDone(scene.runOnce())
    const query = await scene.call('query', `SELECT count(*) AS n FROM orders ${held[policy]}`)
    expect(query.text).toContain(String(row - 1000))
    await scene.expectEqual()
  }
  scene.writeFile({ settings: 'sluice.unfitValues: quarantine' })
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(`UPDATE app.orders SET day = '2024-01-01' WHERE id = 1001;
    UPDATE app.orders SET day = '-infinity' WHERE id = 1`)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
  const apart = await scene.call('query', `SELECT * FROM orders__quarantine WHERE op = 'u'`)
  expect(apart.text).toContain('-infinity')
})

const foreignLog = [
  { protocol: { minReaderVersion: 1, minWriterVersion: 2 } },
  {
    metaData: {
      id: '5fba94ed-9794-4965-ba6e-6ee3c0d22af9',
      format: { provider: 'parquet', options: {} },
      schemaString: '{"type":"struct","fields":[]}',
      partitionColumns: [],
      configuration: {},
      createdTime: 1_700_000_000_000,
    },
  },
]

function contentOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
  return new Map(
    names
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .toSorted()
      .map((path) => [path, readFileSync(path, 'latin1')]),
  )
}

test.concurrent('a foreign Delta table in the way is left untouched, the others go on', async () => {
  const scene = await sceneOf('foreign')
  const table = join(scene.dataFolder, 'lake', 'main', 'copy', 'orders')
  const first = join(table, '_delta_log', '00000000000000000000.json')
  mkdirSync(dirname(first), { recursive: true })
  writeFileSync(first, foreignLog.map((action) => `${JSON.stringify(action)}\n`).join(''))
  writeFileSync(join(table, 'part-0.parquet'), 'PAR1')
  const before = contentOf(table)
  const run = await scene.runOnce()
  const remedy = expectOnlyFailed(run, 'main.copy.orders', 'DESTINATION_FOREIGN_TABLE')
  expect(remedy).toContain('destination_table')
  expect(contentOf(table)).toEqual(before)
  expect((await scene.call('status')).text).toContain('DESTINATION_FOREIGN_TABLE')
  const refresh = await scene.call('refresh', '--all', '--full')
  expect(refresh.exitCode).toBe(1)
  expect(contentOf(table)).toEqual(before)
  await scene.expectEqual('people')
  renameSync(table, join(scene.folder, 'moved'))
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

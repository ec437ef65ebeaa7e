/** Partitioned tables from the source to the destination, compared with the source at the end. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'

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
  await scene.sqlAsRole(`
    CREATE TABLE app.events (id int, day date, body text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE app.events_1 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE app.events_2 (body text, gone int, day date NOT NULL, id int NOT NULL);
    ALTER TABLE app.events_2 DROP gone;
    ALTER TABLE app.events ATTACH PARTITION app.events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE TABLE app.events_rest PARTITION OF app.events DEFAULT PARTITION BY LIST (day);
    CREATE TABLE app.events_rest_1 PARTITION OF app.events_rest DEFAULT;
    INSERT INTO app.events SELECT g, date '2026-01-15' + (g % 90), 'event ' || g FROM generate_series(1, 900) g`)
  return scene
}

async function expectDone(called: Promise<Called>): Promise<Called> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
  return done
}

/** Copies of the table so far. */
function copies(scene: Scene): number {
  const names = scene.files(/snapshot\/\d+\/[^/]*\.parquet$/)
  return new Set(names.map((name) => /tables\/(\d+)\/snapshot\/\d+/.exec(name)?.[0])).size
}

test('copied, followed, moved between partitions, and grown without a new copy', async () => {
  const scene = await sceneOf('parted')
  await expectDone(scene.runOnce())
  await scene.expectEqual('orders', 'people', 'events')
  const before = copies(scene)
  await scene.sqlAsRole(`
    UPDATE app.events SET body = 'changed' WHERE id % 7 = 0;
    UPDATE app.events SET day = day + 31, body = body || ' moved' WHERE id % 10 = 0;
    DELETE FROM app.events WHERE id % 11 = 0`)
  await scene.sqlAsRole(
    `CREATE TABLE app.events_3 PARTITION OF app.events FOR VALUES FROM ('2027-01-01') TO ('2027-02-01')`,
  )
  await scene.sqlAsRole(
    `INSERT INTO app.events SELECT g, '2027-01-05', 'new' FROM generate_series(1, 50) g`,
  )
  await scene.sqlAsRole(`UPDATE app.events SET body = 'newer' WHERE day = '2027-01-05' AND id < 10`)
  await expectDone(scene.runOnce())
  await scene.expectEqual('orders', 'people', 'events')
  await expectDone(scene.runOnce())
  await scene.expectEqual('orders', 'people', 'events')
  expect(copies(scene)).toBe(before)
})

test('trap: what moves rows of partitions without an event is made good', async () => {
  const scene = await sceneOf('moved')
  const place = 'source_schema: app, destination_catalog: main, destination_schema: copy'
  scene.writeFile({ objects: [`table: {${place}, source_table: events}`] })
  await expectDone(scene.runOnce())
  for (const statements of [
    'TRUNCATE app.events_1',
    'ALTER TABLE app.events DETACH PARTITION app.events_2',
    `INSERT INTO app.events_2 (id, day, body) VALUES (5000, '2026-02-03', 'unseen')`,
    `ALTER TABLE app.events ATTACH PARTITION app.events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`,
    'DROP TABLE app.events_1',
    'TRUNCATE app.events',
  ]) {
    await scene.sqlAsRole(statements)
    await expectDone(scene.runOnce())
    await scene.expectEqual()
  }
})

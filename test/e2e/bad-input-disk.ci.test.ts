/** Bad input: a disk that is really full, and one that is read-only. */
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { type Called, createScene, type Scene } from '../support/bad-input.ts'
import { mountSmallDisk, type SmallDisk } from '../support/small-disk.ts'

let server: EmbeddedPostgres
const open: { dispose(): void | Promise<void> }[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterAll(async () => {
  await server.stop()
})

afterEach(async () => {
  for (const one of open.splice(0)) await one.dispose()
})

/** `holds`: what lies on the small disk. */
async function sceneOnDisk(
  name: string,
  holds: 'everything' | 'lake',
): Promise<{ scene: Scene; disk: SmallDisk }> {
  const scene = await createScene(server, name)
  const disk = await mountSmallDisk(join(scene.folder, 'disk'), 24)
  open.push({ dispose: () => disk.close() }, scene)
  scene.use(disk, { holdsData: holds === 'everything' })
  if (holds === 'lake') scene.writeFile({ lakeRoot: `file://${disk.folder}` })
  return { scene, disk }
}

async function expectDone(called: Promise<Called>): Promise<void> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
}

/** Rows that do not compress, about 4 MB of them. */
const manyRows = `INSERT INTO app.orders SELECT n,
  (SELECT string_agg(md5(random()::text || n || k), '') FROM generate_series(1, 4) k), now()
  FROM generate_series(1000, 31000) n`

test('disk full while changes are staged: nothing half-written, the next run goes on', async () => {
  const { scene, disk } = await sceneOnDisk('stagingfull', 'everything')
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(`${manyRows}; UPDATE app.people SET name = 'changed' WHERE id < 9`)
  const lake = scene.files(/^lake/)
  disk.fill(1_000_000)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'STORAGE_FULL' })
  expect(run.error?.message).toContain('ENOSPC')
  expect(scene.files(/^lake/)).toEqual(lake)
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('disk full while staged changes are applied: no file is left over', async () => {
  const { scene, disk } = await sceneOnDisk('applyfull', 'everything')
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(manyRows)
  const lake = scene.files(/^lake/)
  // Enough for the staged file, too little for the same rows in the table.
  disk.fill(6_000_000)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect([...run.failed.keys()]).toEqual(['main.copy.orders'])
  expect(run.failed.get('main.copy.orders')).toMatchObject({ code: 'STORAGE_FULL' })
  expect(scene.files(/^lake/)).toEqual(lake)
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('disk full while a first copy is staged', async () => {
  const { scene, disk } = await sceneOnDisk('copyfull', 'everything')
  await scene.sqlAsRole(manyRows)
  disk.fill(1_000_000)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.text).toContain('STORAGE_FULL')
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('not a byte left: not even the catalog can be written, and nothing is harmed', async () => {
  const { scene, disk } = await sceneOnDisk('nothingleft', 'everything')
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(`DELETE FROM app.people WHERE id < 9`)
  disk.fill(0)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error?.code).toMatch(/^(STORAGE_FULL|CATALOG_UNUSABLE)$/)
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('disk full while tables are committed: each table says so, the next run goes on', async () => {
  const { scene, disk } = await sceneOnDisk('lakefull', 'lake')
  await scene.sqlAsRole(manyRows)
  disk.fill(200_000)
  const first = await scene.runOnce()
  expect(first.exitCode, first.text).toBe(1)
  // The small table had room.
  expect([...first.failed.keys()]).toEqual(['main.copy.orders'])
  expect(first.failed.get('main.copy.orders')).toMatchObject({ code: 'STORAGE_FULL' })
  await scene.expectEqual('people')
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()

  await scene.sqlAsRole(
    `UPDATE app.orders SET note = 'changed'; DELETE FROM app.people WHERE id < 9`,
  )
  disk.fill(0)
  const second = await scene.runOnce()
  expect(second.exitCode, second.text).toBe(1)
  expect([...second.failed.keys()].toSorted()).toEqual(['main.copy.orders', 'main.copy.people'])
  for (const { code } of second.failed.values()) expect(code).toBe('STORAGE_FULL')
  disk.makeRoom()
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('a read-only lake: the tables say so, staging goes on', async () => {
  const { scene, disk } = await sceneOnDisk('readonlylake', 'lake')
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'changed'`)
  disk.setWritable(false)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect([...run.failed.keys()]).toEqual(['main.copy.orders'])
  expect(run.failed.get('main.copy.orders')).toMatchObject({ code: 'STORAGE_FORBIDDEN' })
  expect(run.failed.get('main.copy.orders')?.message).toContain(disk.folder)
  disk.setWritable(true)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

test('a read-only data folder', async () => {
  const { scene, disk } = await sceneOnDisk('readonlydata', 'everything')
  disk.setWritable(false)
  const empty = await scene.runOnce()
  expect(empty.exitCode, empty.text).toBe(1)
  expect(empty.error).toMatchObject({ code: 'CATALOG_UNUSABLE' })
  expect(empty.error?.message).toContain(disk.folder)
  disk.setWritable(true)
  await expectDone(scene.runOnce())
  disk.setWritable(false)
  const filled = await scene.runOnce()
  expect(filled.exitCode, filled.text).toBe(1)
  expect(filled.error).toMatchObject({ code: 'CATALOG_UNUSABLE' })
  disk.setWritable(true)
  await scene.expectEqual()
})

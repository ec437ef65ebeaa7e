/** Bad input: a staging volume with damaged files, or with two gateways. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import type { SluiceProcess } from '../support/sluice-process.ts'
import { type Called, createScene, parseCalled, type Scene } from '../support/bad-input.ts'

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

async function expectDone(called: Promise<Called>): Promise<void> {
  const done = await called
  expect(done.exitCode, done.text).toBe(0)
}

const truncate = (path: string): void => truncateSync(path, 100)
const remove = (path: string): void => rmSync(path)
function flip(path: string): void {
  const bytes = readFileSync(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 4
  writeFileSync(path, bytes)
}

/** Ends as a power cut would when changes of both tables are staged and nothing is applied. */
async function stageWithoutApplying(scene: Scene): Promise<void> {
  await expectDone(scene.runOnce())
  await scene.sqlAsRole(
    `UPDATE app.orders SET note = 'changed' WHERE id < 9; DELETE FROM app.people WHERE id < 9`,
  )
  const cut = await scene.start(['run', scene.file, '--once'], {
    env: { SLUICE_FAILPOINT: 'destination.before-commit' },
  }).finished
  expect(cut.signal).toBe('SIGKILL')
}

/** The folder of `app.orders` in the volume is the one whose schema has a date. */
function stagedFile(scene: Scene, kind: 'changes' | 'snapshot'): string {
  const schema = scene
    .files(/schema-0\.json$/)
    .find((path) => readFileSync(join(scene.dataFolder, path), 'utf8').includes('"day"'))
  const folder = (schema ?? '').replace(/schema-0\.json$/, '')
  const found = scene.files(/\.parquet$/).filter((path) => path.startsWith(folder + kind))
  expect(found).toHaveLength(1)
  return join(scene.dataFolder, found[0] ?? '')
}

async function expectTableRepaired(scene: Scene, code: string): Promise<void> {
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect([...run.failed.keys()]).toEqual(['main.copy.orders'])
  expect(run.failed.get('main.copy.orders')).toMatchObject({ code })
  // The other table went on meanwhile.
  await scene.expectEqual('people')
  const verified = await scene.call('verify')
  expect(verified.exitCode, verified.text).toBe(1)
  expect((await scene.call('status')).text).toContain(code)
  await expectDone(scene.follow(run.failed.get('main.copy.orders')?.remedy ?? ''))
  await scene.expectEqual()
}

const damages: readonly (readonly [string, (path: string) => void, string])[] = [
  ['truncated', truncate, 'STAGING_FILE_DAMAGED'],
  ['bit-flipped', flip, 'STAGING_FILE_DAMAGED'],
  ['missing', remove, 'STAGING_FILE_MISSING'],
]

for (const [name, damage, code] of damages) {
  test.concurrent(`a ${name} file of changes stops its table alone, one command repairs it`, async () => {
    const scene = await sceneOf(`changes_${name.replace('-', '_')}`)
    await stageWithoutApplying(scene)
    damage(stagedFile(scene, 'changes'))
    await expectTableRepaired(scene, code)
  })
}

test.concurrent('a bit-flipped file of a first copy: a table that was never loaded is repaired', async () => {
  const scene = await sceneOf('snapshot')
  const cut = await scene.start(['run', scene.file, '--once'], {
    env: { SLUICE_FAILPOINT: 'destination.before-commit' },
  }).finished
  expect(cut.signal).toBe('SIGKILL')
  flip(stagedFile(scene, 'snapshot'))
  await expectTableRepaired(scene, 'STAGING_FILE_DAMAGED')
})

for (const file of ['_log/00000000000000000003.json', '_gateway.json']) {
  test.concurrent(`a bit-flipped ${file} stops the volume, one command repairs it`, async () => {
    const scene = await sceneOf(`volume_${file.replaceAll(/[^a-z0-9]/g, '_')}`)
    await stageWithoutApplying(scene)
    const path = join(scene.dataFolder, 'volumes', 'main', 'staging', 'db', file)
    flip(path)
    const lake = scene.files(/lake\//)
    const run = await scene.runOnce()
    expect(run.exitCode, run.text).toBe(1)
    expect(run.error).toMatchObject({ code: 'STAGING_MANIFEST_UNREADABLE' })
    expect(run.error?.message).toContain(file)
    expect(scene.files(/lake\//)).toEqual(lake)
    await expectDone(scene.follow(run.error?.remedy ?? ''))
    await scene.expectEqual()
    await scene.sqlAsRole(`UPDATE app.orders SET note = 'followed again' WHERE id < 20`)
    await expectDone(scene.runOnce())
    await scene.expectEqual()
  })
}

/** A continuous run that has loaded both tables. */
async function startLoaded(scene: Scene): Promise<SluiceProcess> {
  const running = scene.start(['run', scene.file])
  await running.said('"tables_loaded":2')
  return running
}

test.concurrent('a second run of a data folder is refused, the first goes on', async () => {
  const scene = await sceneOf('twice')
  const first = await startLoaded(scene)
  const second = await scene.runOnce()
  expect(second.exitCode, second.text).toBe(1)
  expect(second.error).toMatchObject({
    code: 'GATEWAY_RUNNING',
    remedy: expect.stringContaining(`kill ${first.pid}`),
  })
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'followed' WHERE id < 9`)
  // Asked of the first, which is still there.
  await scene.expectEqual()
  first.kill('SIGTERM')
  const ended = await first.finished
  expect([ended.exitCode, ended.signal]).toEqual([0, null])
})

test.concurrent('two data folders on one volume: the elder gateway is fenced, nothing is lost', async () => {
  const scene = await sceneOf('fenced')
  const root = `file://${join(scene.folder, 'shared root')}`
  scene.writeFile({ storageRoot: root })
  const elder = await startLoaded(scene)
  const otherData = join(scene.folder, 'other data')
  await scene.sqlAsRole(`DELETE FROM app.people WHERE id < 9`)
  const younger = scene.start(['run', scene.file, '--once'], { dataFolder: otherData })
  const fenced = parseCalled(await elder.finished)
  expect(fenced.exitCode, fenced.text).toBe(1)
  expect(fenced.error).toMatchObject({ code: 'STAGING_FENCED' })
  const taken = parseCalled(await younger.finished)
  expect(taken.exitCode, taken.text).toBe(0)
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'after' WHERE id < 9`)
  await expectDone(scene.runOnce())
  await scene.expectEqual()
})

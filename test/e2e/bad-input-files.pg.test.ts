/** Bad input: resource files, environment, data folder and catalog. */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import { createScene, type Scene } from '../support/bad-input.ts'
import { runSluice } from '../support/sluice-process.ts'

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

test.concurrent('a resource file with errors: all of them, each with line, key and nearest key', async () => {
  const scene = await sceneOf('resource')
  const lines = readFileSync(scene.file, 'utf8')
    .replace('gateway_storage_name', 'gateway_storage_nam')
    .replace('destination_schema', 'destination_schem')
    .replace('connection_name: db', 'connection_name: dp')
  writeFileSync(scene.file, lines)
  for (const command of [
    ['run', scene.file, '--once'],
    ['check', scene.file],
  ]) {
    const { exitCode, stderr } = await runSluice([...command, '--data', scene.dataFolder], {
      cwd: scene.folder,
      env: { SLUICE_TEST_PASSWORD: scene.password },
    })
    expect(exitCode, stderr).toBe(2)
    expect(stderr).toMatch(/resources\.yml:\d+:\d+: .*CONFIG_UNKNOWN_KEY.*gateway_storage_nam\b/)
    expect(stderr).toContain('gateway_storage_name')
    expect(stderr).toMatch(/resources\.yml:\d+:\d+: .*CONFIG_UNKNOWN_KEY.*destination_schem\b/)
    expect(stderr).toMatch(/resources\.yml:\d+:\d+: .*CONFIG_UNKNOWN_REFERENCE.*dp/)
    expect(stderr).not.toContain(scene.password)
  }
  // Nothing was recorded or made.
  expect(scene.files(/./)).toEqual([])
  scene.writeFile()
  expect((await scene.runOnce()).exitCode).toBe(0)
})

test.concurrent('a variable of the environment that is not set', async () => {
  const scene = await sceneOf('unset')
  const { exitCode, stderr } = await runSluice(
    ['run', scene.file, '--once', '--data', scene.dataFolder],
    {
      cwd: scene.folder,
    },
  )
  expect(exitCode, stderr).toBe(2)
  expect(stderr).toMatch(/resources\.yml:5:\d+: error CONFIG_ENV_UNSET: .*SLUICE_TEST_PASSWORD/)
  expect(scene.files(/./)).toEqual([])
})

test.concurrent('a data folder that cannot be made', async () => {
  const scene = await sceneOf('nofolder')
  writeFileSync(scene.dataFolder, 'a file')
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'CATALOG_UNUSABLE' })
  expect(run.error?.message).toContain(scene.dataFolder)
  expect(readFileSync(scene.dataFolder, 'utf8')).toBe('a file')
  rmSync(scene.dataFolder)
  expect((await scene.runOnce()).exitCode).toBe(0)
})

test.concurrent('a damaged catalog: its command moves it away, tables and slot are kept', async () => {
  const scene = await sceneOf('catalog')
  expect((await scene.runOnce()).exitCode).toBe(0)
  const file = join(scene.dataFolder, 'sluice.db')
  const bytes = readFileSync(file)
  bytes.fill(0x55, 0, 2000)
  writeFileSync(file, bytes)
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(1)
  expect(run.error).toMatchObject({ code: 'CATALOG_DAMAGED' })
  expect(run.error?.message).toContain(file)
  const command = run.error?.remedy.split('\n').at(-1) ?? ''
  execFileSync('sh', ['-c', command])
  await scene.sqlAsRole('DELETE FROM app.orders WHERE id < 9')
  const copies = scene.files(/snapshot\//)
  const again = await scene.runOnce()
  expect(again.exitCode, again.text).toBe(0)
  // Followed from where it was, not copied anew.
  expect(scene.files(/snapshot\//)).toEqual(copies)
  await scene.expectEqual()
})

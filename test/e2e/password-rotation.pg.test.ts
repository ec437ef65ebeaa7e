/** A password that is changed at the server while a gateway runs, a moment before it is written down. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, parseCalled, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'
import type { SluiceProcess } from '../support/sluice-process.ts'

let server: EmbeddedPostgres
const scenes: Scene[] = []

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
})

afterAll(async () => {
  for (const scene of scenes) scene.dispose()
  await server.stop()
})

async function runningScene(
  name: string,
  option?: (file: string) => string,
): Promise<{ scene: Scene; secret: string; running: SluiceProcess }> {
  const scene = await createScene(server, name)
  scenes.push(scene)
  const secret = join(scene.folder, 'secret')
  writeFileSync(secret, scene.password)
  if (option !== undefined) {
    const text = readFileSync(scene.file, 'utf8')
    const changed = text.replace('password: "${env.SLUICE_TEST_PASSWORD}"', () => option(secret))
    expect(changed).not.toBe(text)
    writeFileSync(scene.file, changed)
  }
  const running = scene.start(['run', scene.file])
  while ((await scene.call('verify')).exitCode !== 0) await pause(200)
  return { scene, secret, running }
}

/** The server knows `password` alone from now on, and who came in with another one is put out. */
async function rotate(scene: Scene, password: string): Promise<void> {
  await server.sql(`ALTER ROLE ${scene.role} PASSWORD '${password}'`)
  await server.sql(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${scene.role}'`,
  )
}

test.concurrent.each([
  ['file', (file: string) => `password_file: '${file}'`],
  ['command', (file: string) => `password_command: "cat '${file}'"`],
])('a password from a %s is read anew until the server takes it', async (name, option) => {
  const { scene, secret, running } = await runningScene(`turn_${name}`, option)
  await rotate(scene, `${scene.password}-2`)
  await running.said('SOURCE_AUTHENTICATION_FAILED', 'stderr')
  await scene.sqlAsRole(`UPDATE app.orders SET note = 'meanwhile' WHERE id < 20`)
  while (!(await scene.call('status')).text.includes('SOURCE_AUTHENTICATION_FAILED'))
    await pause(200)
  writeFileSync(secret, `${scene.password}-2`)
  while ((await scene.call('verify')).exitCode !== 0) await pause(200)
  await scene.expectEqual()
  expect((await scene.call('status')).text).not.toContain('SOURCE_AUTHENTICATION_FAILED')
  running.kill('SIGTERM')
  const ended = await running.finished
  expect(ended.exitCode, ended.stderr).toBe(0)
  expect(ended.stdout + ended.stderr).not.toContain(scene.password)
})

test.concurrent('a password of the environment cannot be another one: it fails at once', async () => {
  const { scene, running } = await runningScene('turn_static')
  await rotate(scene, 'another')
  const called = parseCalled(await running.finished)
  expect(called.exitCode).toBe(1)
  expect(called.error).toMatchObject({ code: 'SOURCE_AUTHENTICATION_FAILED' })
  expect(called.error?.remedy).toContain(`ALTER ROLE "${scene.role}" PASSWORD`)
  const tries = called.lines.filter((line) => line['code'] === 'SOURCE_AUTHENTICATION_FAILED')
  expect(tries.filter((line) => line['delayMs'] !== undefined)).toEqual([])
})

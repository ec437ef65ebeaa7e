/** Wherever a password comes from, it works, and no output, file or process list shows it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createScene, type Scene } from '../support/bad-input.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres
let scene: Scene

beforeAll(async () => {
  server = await startEmbeddedPostgres()
  scene = await createScene(server, 'secrets')
})

afterAll(async () => {
  scene.dispose()
  await server.stop()
})

/** The resource file with `option` where its password stands. */
function useOption(option: string): void {
  scene.writeFile()
  const text = readFileSync(scene.file, 'utf8')
  const reference = 'password: "${env.SLUICE_TEST_PASSWORD}"'
  expect(text).toContain(reference)
  writeFileSync(
    scene.file,
    text.replace(reference, () => option),
  )
}

/** Command lines of all processes; none where there is no /proc. */
function commandLines(): readonly string[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
        } catch {
          return ''
        }
      })
  } catch {
    return []
  }
}

test('a password from a command loads tables, and no process list shows it', async () => {
  const file = join(scene.folder, 'password')
  writeFileSync(file, `${scene.password}\n`, { mode: 0o600 })
  useOption(`password_command: "sleep 0.05; cat '${file}'"`)
  const running = scene.start(['run', scene.file, '--once', '--log-level', 'debug'])
  let isRunning = true
  void running.finished.finally(() => (isRunning = false))
  const seen = new Set<string>()
  while (isRunning) {
    for (const line of commandLines()) if (line.includes(scene.password)) seen.add(line)
    await sleep(10)
  }
  const { exitCode, stdout, stderr } = await running.finished
  expect(exitCode, stderr).toBe(0)
  expect([...seen]).toEqual([])
  expect(stdout + stderr).not.toContain(scene.password)
  expect((await scene.call('status')).text).not.toContain(scene.password)
  await scene.expectEqual()
})

test('a password that is turned between two runs is the new one in the next', async () => {
  const file = join(scene.folder, 'turning')
  useOption(`password_file: "${file}"`)
  await scene.sql(`ALTER ROLE ${scene.role} PASSWORD '${scene.password}-2'`)
  writeFileSync(file, scene.password)
  const refused = await scene.call('check', scene.file)
  expect(refused.exitCode).toBe(1)
  expect(refused.text).toContain('SOURCE_AUTHENTICATION_FAILED')
  expect(refused.text).toContain(scene.role)
  writeFileSync(file, `${scene.password}-2\n`)
  expect((await scene.call('check', scene.file)).exitCode).toBe(0)
  await scene.sql(`ALTER ROLE ${scene.role} PASSWORD '${scene.password}'`)
  writeFileSync(file, scene.password)
  expect((await scene.runOnce()).exitCode).toBe(0)
  await scene.expectEqual()
})

test('a command that fails after saying the password does not hand it on', async () => {
  useOption(`password_command: "echo ${'${env.SLUICE_TEST_PASSWORD}'}; exit 4"`)
  const failed = await scene.call('check', scene.file, '--log-level', 'debug')
  expect(failed.exitCode).toBe(1)
  expect(failed.text).toContain('SOURCE_PASSWORD_UNAVAILABLE')
  expect(failed.text).toContain('exit code 4')
  scene.expectNoSecrets()
})

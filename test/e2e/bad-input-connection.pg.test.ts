/** Bad input: servers that cannot be reached, entered, trusted or replicated from. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../src/quickstart/embedded-postgres.ts'
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

/** Nothing was made at the source, staged or loaded. */
function expectNothingDone(scene: Scene, called: Called): void {
  expect(called.exitCode, called.text).toBe(1)
  expect(scene.files(/\.parquet$|_delta_log/)).toEqual([])
  scene.expectNoSecrets()
}

async function expectRepaired(scene: Scene): Promise<void> {
  const run = await scene.runOnce()
  expect(run.exitCode, run.text).toBe(0)
  await scene.expectEqual()
}

test.concurrent('server down: says where it looked, tries again, then gives up', async () => {
  const scene = await sceneOf('down')
  const port = await freePort()
  scene.writeFile({ port })
  const run = await scene.runOnce()
  expectNothingDone(scene, run)
  expect(run.error).toMatchObject({ code: 'SOURCE_UNREACHABLE' })
  expect(run.error?.message).toContain(`127.0.0.1:${port}`)
  const check = await scene.call('check', scene.file)
  expect(check.exitCode).toBe(1)
  expect(check.lines).toContainEqual(
    expect.objectContaining({ event: 'finding', code: 'SOURCE_UNREACHABLE', severity: 'error' }),
  )
  const status = await scene.call('status')
  expect(status.exitCode).toBe(0)
  expect(status.text).toContain('SOURCE_UNREACHABLE')
  scene.writeFile()
  await expectRepaired(scene)
})

test.concurrent('wrong password: named by role, never by password, and not tried again', async () => {
  const scene = await sceneOf('password')
  await server.sql(`ALTER ROLE ${scene.role} PASSWORD 'another'`)
  const run = await scene.runOnce('--log-level', 'debug')
  expectNothingDone(scene, run)
  expect(run.error).toMatchObject({ code: 'SOURCE_AUTHENTICATION_FAILED' })
  expect(run.error?.message).toContain(scene.role)
  expect(run.lines.filter((line) => line['level'] === 'warn')).toEqual([])
  await server.sql(`ALTER ROLE ${scene.role} PASSWORD '${scene.password}'`)
  await expectRepaired(scene)
})

test.concurrent('a password that stands in the resource file is sealed in the data folder', async () => {
  const scene = await sceneOf('literal')
  scene.writeFile({ password: scene.password })
  const run = await scene.runOnce('--log-level', 'debug')
  expect(run.exitCode, run.text).toBe(0)
  await server.sql(`ALTER ROLE ${scene.role} PASSWORD 'another'`)
  const refused = await scene.runOnce('--log-level', 'debug')
  expect(refused.error).toMatchObject({ code: 'SOURCE_AUTHENTICATION_FAILED' })
  await server.sql(`ALTER ROLE ${scene.role} PASSWORD '${scene.password}'`)
  // Opened from what the catalog keeps, without the file.
  await scene.expectEqual()
})

test.concurrent('a password where none belongs is refused by its option, and never repeated', async () => {
  const scene = await sceneOf('misplaced')
  const { role, password } = scene
  const options = {
    host: [`postgres://${role}:${password}@127.0.0.1`, `${role}:${password}@127.0.0.1`],
    user: [`${role}:${password}`, '${env.WHOLE}'],
  }
  const env = { WHOLE: `postgres://${role}:${password}@127.0.0.1` }
  for (const [name, values] of Object.entries(options)) {
    for (const value of values) {
      scene.writeFile({ [name]: `"${value}"` })
      for (const args of [['check', scene.file], ['run', scene.file, '--once'], ['status']]) {
        const { exitCode, stdout, stderr } = await scene.start(args, { env }).finished
        expect(stdout + stderr).not.toContain(password)
        if (args[0] === 'status') continue
        expect(exitCode).toBe(2)
        expect(stdout + stderr).toContain(`options.${name}`)
      }
    }
  }
  scene.expectNoSecrets()
  // Known only where it is used.
  scene.writeFile({ user: '"${env.WHOLE}"' })
  const good = { env: { WHOLE: role } }
  expect((await scene.start(['run', scene.file, '--once'], good).finished).exitCode).toBe(0)
  const { exitCode, stdout, stderr } = await scene.start(['verify'], { env }).finished
  expect(exitCode).toBe(2)
  expect(stdout + stderr).toContain('SOURCE_OPTION_INVALID')
  expect(stdout + stderr).not.toContain(password)
})

test.concurrent('TLS is asked for by default, and a server without it is refused', async () => {
  const scene = await sceneOf('plain')
  scene.writeFile({ sslmode: '' })
  const run = await scene.runOnce()
  expectNothingDone(scene, run)
  expect(run.error).toMatchObject({ code: 'SOURCE_TLS_REFUSED' })
  expect(run.error?.message).toMatch(
    /127\.0\.0\.1:\d+ does not offer TLS, and sslmode is verify-full/,
  )
  expect(run.error?.remedy).toContain('sslmode')
  scene.writeFile({ sslmode: 'disable' })
  await expectRepaired(scene)
})

/** Turns TLS on with a certificate that it signed itself, for `localhost` alone. */
async function offerTls(folder: string): Promise<string> {
  const key = join(server.folder, 'server.key')
  const certificate = join(server.folder, 'server.pem')
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2']
  const name = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const files = ['-keyout', key, '-out', certificate]
  execFileSync('openssl', [...request, ...name, ...files], { cwd: folder, stdio: 'pipe' })
  const owner = statSync(join(server.folder, 'data'))
  chownSync(key, owner.uid, owner.gid)
  chmodSync(key, 0o600)
  await server.sql(`ALTER SYSTEM SET ssl_cert_file = '${certificate}'`)
  await server.sql(`ALTER SYSTEM SET ssl_key_file = '${key}'`)
  await server.sql('ALTER SYSTEM SET ssl = on')
  return certificate
}

// After the concurrent ones: it restarts the server.
test('certificates: self-signed, of another host, and one that holds', async () => {
  const scene = await sceneOf('tls')
  const certificate = await offerTls(scene.folder)
  await server.shutdown()
  await server.start()
  scene.writeFile({ host: 'localhost', sslmode: '' })
  const unknown = await scene.runOnce()
  expectNothingDone(scene, unknown)
  expect(unknown.error).toMatchObject({ code: 'SOURCE_TLS_FAILED' })
  expect(unknown.error?.message).toMatch(/localhost:\d+ failed: .*self-signed/)
  expect(unknown.error?.remedy).toContain('sslrootcert')

  scene.writeFile({ sslmode: '', sslrootcert: certificate })
  const other = await scene.runOnce()
  expectNothingDone(scene, other)
  expect(other.error).toMatchObject({ code: 'SOURCE_TLS_FAILED' })
  expect(other.error?.message).toContain('127.0.0.1')

  scene.writeFile({ host: 'localhost', sslmode: '', sslrootcert: certificate })
  await expectRepaired(scene)
})

test('wal_level replica, and a role that may not replicate: the remedies mend it', async () => {
  const scene = await sceneOf('rights')
  await server.sql('ALTER SYSTEM SET wal_level = replica')
  await server.sql(`ALTER ROLE ${scene.role} NOREPLICATION`)
  await server.sql(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active`,
  )
  await server.shutdown()
  await server.start()
  const level = await scene.runOnce()
  expectNothingDone(scene, level)
  expect(level.error).toMatchObject({ code: 'SOURCE_WAL_LEVEL' })
  // All of them in one message, not one per run.
  expect(level.error?.message).toContain('replica')
  expect(level.error?.message).toContain('may not replicate')
  await server.sql(level.error?.remedy ?? '')
  await server.shutdown()
  await server.start()
  const role = await scene.runOnce()
  expectNothingDone(scene, role)
  expect(role.error).toMatchObject({ code: 'SOURCE_REPLICATION_DENIED' })
  await server.sql(role.error?.remedy ?? '')
  await expectRepaired(scene)
  expect(existsSync(scene.dataFolder)).toBe(true)
})

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPasswordSource, type PasswordOptions } from './password-source.ts'

const question = { address: { host: 'db', port: 5432 }, database: 'shop', user: 'sluice' }
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-password-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

async function ask(options: PasswordOptions): Promise<string | undefined> {
  return await createPasswordSource(options)(question)
}

/** The refusal, which holds nothing of what was read. */
async function refusal(options: PasswordOptions): Promise<{ message: string; remedy: string }> {
  const error: unknown = await ask(options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ code: 'SOURCE_PASSWORD_UNAVAILABLE' })
  expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain('secret')
  return error as { message: string; remedy: string }
}

test('a static password is itself', async () => {
  expect(await ask({ password: 'p' })).toBe('p')
})

test('a file is read at every connect, without its line end', async () => {
  const path = join(folder, 'password')
  const source = createPasswordSource({ passwordFile: path })
  writeFileSync(path, 'first\n')
  expect(await source(question)).toBe('first')
  writeFileSync(path, 'second with spaces \r\n')
  expect(await source(question)).toBe('second with spaces ')
})

test.each([
  ['empty', '\n', 'empty'],
  ['of several lines', 'secret\nsecret\n', 'more than one line'],
  ['large', 'secret'.repeat(20_000), 'larger than'],
])('a file that is %s is refused', async (_name, text, said) => {
  const path = join(folder, 'password')
  writeFileSync(path, text)
  expect((await refusal({ passwordFile: path })).message).toContain(said)
})

test('a file that is not there is refused by its path', async () => {
  const path = join(folder, 'none')
  expect((await refusal({ passwordFile: path })).message).toContain(path)
  expect((await refusal({ passFile: path })).message).toContain(path)
})

test('a command is run at every connect', async () => {
  const path = join(folder, 'n')
  writeFileSync(path, '')
  const source = createPasswordSource({ passwordCommand: `echo x >> ${path}; wc -l < ${path}` })
  expect((await source(question))?.trim()).toBe('1')
  expect((await source(question))?.trim()).toBe('2')
})

test.each([
  ['fails', 'echo secret; echo secret >&2; exit 3', 'exit code 3'],
  ['says nothing', 'true', 'is empty'],
  ['says too much', 'yes secret', 'larger than'],
  ['does not exist', '/no/such/command', 'exit code 127'],
  ['says two lines', 'echo secret; echo secret', 'more than one line'],
])('a command that %s is refused', async (_name, passwordCommand, said) => {
  expect((await refusal({ passwordCommand })).message).toContain(said)
})

test('a password file that others may read is not used', async () => {
  const path = join(folder, 'pgpass')
  writeFileSync(path, 'db:5432:shop:sluice:secret\n')
  chmodSync(path, 0o640)
  expect((await refusal({ passFile: path })).remedy).toBe(`chmod 0600 ${path}`)
  chmodSync(path, 0o600)
  expect(await ask({ passFile: path })).toBe('secret')
})

test('trap: a command that does not end is ended with all that it started, and named', async () => {
  const path = join(folder, 'pid')
  const source = createPasswordSource({ passwordCommand: `sleep 100 & echo $! > ${path}; wait` })
  await expect(source(question, { leftMs: 300, connectTimeoutMs: 2000 })).rejects.toMatchObject({
    code: 'SOURCE_PASSWORD_UNAVAILABLE',
    message: expect.stringContaining('connect_timeout (2 s)'),
  })
  const pid = Number(readFileSync(path, 'utf8'))
  await expect.poll(() => isAlive(pid), { timeout: 1500 }).toBe(false)
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // Ended, and nobody has asked how yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

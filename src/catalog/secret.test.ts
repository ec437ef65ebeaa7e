import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { format, inspect } from 'node:util'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createSealer } from './seal.ts'
import { Secret } from './secret.ts'

const value = 'hunter2-"€'
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-seal-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test.each<[string, (secret: Secret) => string]>([
  ['a template string', (secret) => `${secret as unknown as string}`],
  ['concatenation', (secret) => 'x' + String(secret)],
  ['JSON', (secret) => JSON.stringify({ secret, list: [secret] })],
  ['util.inspect', (secret) => inspect(secret, { showHidden: true, depth: 9 })],
  ['util.inspect of a holder', (secret) => inspect({ options: { password: secret } })],
  ['util.format', (secret) => format('%s %o %O %j', secret, secret, secret, secret)],
  [
    'an error message',
    (secret) => String(new Error(`failed with ${secret as unknown as string}`).stack),
  ],
  ['its own keys', (secret) => Object.entries(secret).join() + Reflect.ownKeys(secret).join()],
  ['a copy', (secret) => inspect(Object.assign({}, secret))],
])('a secret does not show in %s', (_, show) => {
  const text = show(new Secret(value))
  expect(text).not.toContain('hunter2')
})

test('reveal() hands the value out', () => {
  expect(new Secret(value).reveal()).toBe(value)
})

test('a sealed secret opens in its own place, and only there', () => {
  const sealer = createSealer(join(folder, 'key'))
  const sealed = sealer.seal(new Secret(value), 'connection a')
  expect(sealed).not.toContain('hunter2')
  expect(createSealer(join(folder, 'key')).open(sealed, 'connection a').reveal()).toBe(value)
  expect(() => sealer.open(sealed, 'connection b')).toThrow(
    expect.objectContaining({ code: 'CATALOG_SECRET_UNREADABLE' }),
  )
})

test('sealing twice gives different bytes', () => {
  const sealer = createSealer(join(folder, 'key'))
  expect(sealer.seal(new Secret(value), 'a')).not.toBe(sealer.seal(new Secret(value), 'a'))
})

test('the key file is for its owner alone', () => {
  createSealer(join(folder, 'key')).seal(new Secret(value), 'a')
  expect(statSync(join(folder, 'key')).mode & 0o777).toBe(0o600)
})

test.each<[string, (file: string) => void]>([
  ['missing', (file) => rmSync(file)],
  ['foreign', (file) => writeFileSync(file, `${Buffer.alloc(32, 7).toString('base64')}\n`)],
  ['cut', (file) => writeFileSync(file, 'abc')],
])('open() refuses when the key is %s', (_, harm) => {
  const file = join(folder, 'key')
  const sealed = createSealer(file).seal(new Secret(value), 'a')
  chmodSync(file, 0o600)
  harm(file)
  expect(() => createSealer(file).open(sealed, 'a')).toThrow(
    expect.objectContaining({ code: 'CATALOG_SECRET_UNREADABLE' }),
  )
})

test('open() refuses bytes that were altered', () => {
  const sealer = createSealer(join(folder, 'key'))
  const sealed = sealer.seal(new Secret(value), 'a')
  const bytes = Buffer.from(sealed.slice('sealed:1:'.length), 'base64')
  for (let index = 0; index < bytes.length; index++) {
    const altered = Buffer.from(bytes)
    altered[index] = (altered[index] ?? 0) ^ 1
    expect(() => sealer.open(`sealed:1:${altered.toString('base64')}`, 'a')).toThrow(
      expect.objectContaining({ code: 'CATALOG_SECRET_UNREADABLE' }),
    )
  }
  expect(readFileSync(join(folder, 'key'), 'utf8')).not.toContain('hunter2')
})

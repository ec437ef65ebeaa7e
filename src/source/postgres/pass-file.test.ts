import fc from 'fast-check'
import { expect, test } from 'vitest'
import { findPassword } from './pass-file.ts'

const asked = { address: { host: 'db', port: 5432 }, database: 'shop', user: 'sluice' }

test.each([
  ['an exact line', 'db:5432:shop:sluice:secret', 'secret'],
  ['stars', '*:*:*:*:secret', 'secret'],
  [
    'the first line that fits',
    'x:*:*:*:no\n# *:*:*:*:no\n\ndb:*:*:*:first\n*:*:*:*:second',
    'first',
  ],
  ['a password with colons', '*:*:*:*:a:b:c', 'a:b:c'],
  ['escapes in a password', '*:*:*:*:a\\:b\\\\c\\d', 'a:b\\cd'],
  ['line ends of Windows', '*:*:*:*:secret\r\n', 'secret'],
  ['spaces, which count', '*:*:*:*: secret ', ' secret '],
  ['another port', 'db:5433:*:*:no', undefined],
  ['an escaped star, which is no wildcard', 'db:5432:\\*:sluice:no', undefined],
  ['a star beside other characters', 'db:5432:s*:sluice:no', undefined],
  ['a line that is too short', 'db:5432:shop:sluice', undefined],
  ['an empty file', '', undefined],
])('findPassword() and %s', (_name, text, password) => {
  expect(findPassword(text, asked)).toBe(password)
})

test('a Unix socket is its folder, or localhost', () => {
  const socket = { ...asked, address: { host: '/run/postgresql', port: 5432 } }
  expect(findPassword('localhost:*:*:*:a', socket)).toBe('a')
  expect(findPassword('/run/postgresql:*:*:*:b', socket)).toBe('b')
  expect(findPassword('db:*:*:*:c', socket)).toBeUndefined()
})

test('any names and passwords are found again when they are escaped', () => {
  const text = fc.string({ minLength: 1 }).filter((value) => !/[\r\n\0#]/.test(value))
  const escaped = (value: string): string => value.replaceAll(/[\\:*]/g, '\\$&')
  fc.assert(
    fc.property(text, text, text, text, (host, database, user, password) => {
      const line = [host, '1', database, user, password].map(escaped).join(':')
      const question = { address: { host: `${host}`, port: 1 }, database, user }
      if (host.startsWith('/')) return
      expect(findPassword(`nobody:*:*:*:x\n${line}\n`, question)).toBe(password)
      expect(findPassword(line, { ...question, user: `${user}x` })).toBeUndefined()
    }),
  )
})

import { expect, test } from 'vitest'
import { parsePostgresOptions, tlsOptions } from './connection-options.ts'

const least = { host: 'db.example', user: 'u', database: 'd' }

test('parsePostgresOptions() verifies TLS fully unless told otherwise', () => {
  const options = parsePostgresOptions(least)
  expect(options).toMatchObject({ port: 5432, sslMode: 'verify-full', password: undefined })
  expect(tlsOptions(options)).toMatchObject({ rejectUnauthorized: true, servername: 'db.example' })
})

test.each([
  ['a missing host', { user: 'u', database: 'd' }],
  ['an empty database', { ...least, database: '' }],
  ['an unknown name', { ...least, sslmod: 'disable' }],
  ['an unknown sslmode', { ...least, sslmode: 'prefer' }],
  ['a bad port', { ...least, port: '5432x' }],
  ['a port out of range', { ...least, port: '0' }],
  ['a missing certificate file', { ...least, sslrootcert: '/nowhere/ca.pem' }],
])('parsePostgresOptions() refuses %s', (_name, options) => {
  expect(() => parsePostgresOptions(options)).toThrow(
    expect.objectContaining({ code: 'SOURCE_OPTION_INVALID', exitCode: 2 }),
  )
})

test('tlsOptions() of require look at the certificate only when a root is given', () => {
  const require = parsePostgresOptions({ ...least, sslmode: 'require' })
  expect(tlsOptions(require).rejectUnauthorized).toBe(false)
  const pem = '-----BEGIN CERTIFICATE-----'
  const withRoot = parsePostgresOptions({ ...least, sslmode: 'require', sslrootcert: pem })
  expect(tlsOptions(withRoot).rejectUnauthorized).toBe(true)
})

test('tlsOptions() send no server name for an address', () => {
  expect(tlsOptions(parsePostgresOptions({ ...least, host: '::1' })).servername).toBeUndefined()
})

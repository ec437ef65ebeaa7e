import { expect, test } from 'vitest'
import { postgresOptions } from '../../catalog/connection.ts'
import { parsePostgresOptions, postgresOptionNames } from './connection-options.ts'
import { tlsOptions } from './tls-settings.ts'

const least = { host: 'db.example', user: 'u', database: 'd' }

test('parsePostgresOptions() verifies TLS fully unless told otherwise', () => {
  const options = parsePostgresOptions(least)
  expect(options).toMatchObject({
    hosts: [{ host: 'db.example', port: 5432 }],
    sslMode: 'verify-full',
    targetSession: 'any',
  })
  expect(tlsOptions(options, 'db.example')).toMatchObject({
    rejectUnauthorized: true,
    servername: 'db.example',
  })
})

test.each([
  ['a missing host', { user: 'u', database: 'd' }],
  ['an empty database', { ...least, database: '' }],
  ['an unknown name', { ...least, sslmod: 'disable' }],
  ['an unknown sslmode', { ...least, sslmode: 'prefer' }],
  ['a bad port', { ...least, port: '5432x' }],
  ['a port out of range', { ...least, port: '0' }],
  ['fewer ports than hosts', { ...least, host: 'a,b,c', port: '1,2' }],
  ['an empty host in a list', { ...least, host: 'a,,b' }],
  ['two passwords', { ...least, password: 'x', passfile: '/x' }],
  ['direct TLS without TLS', { ...least, sslmode: 'disable', sslnegotiation: 'direct' }],
  ['a certificate without its key', { ...least, sslcert: '-----BEGIN CERTIFICATE-----' }],
  ['a timeout that is none', { ...least, connect_timeout: '-1' }],
  ['a missing certificate file', { ...least, sslrootcert: '/nowhere/ca.pem' }],
])('parsePostgresOptions() refuses %s', (_name, options) => {
  expect(() => parsePostgresOptions(options)).toThrow(
    expect.objectContaining({ code: 'SOURCE_OPTION_INVALID', exitCode: 2 }),
  )
})

test('tlsOptions() of require look at the certificate only when a root is given', () => {
  const require = parsePostgresOptions({ ...least, sslmode: 'require' })
  expect(tlsOptions(require, 'h').rejectUnauthorized).toBe(false)
  const pem = '-----BEGIN CERTIFICATE-----'
  const withRoot = parsePostgresOptions({ ...least, sslmode: 'require', sslrootcert: pem })
  expect(tlsOptions(withRoot, 'h').rejectUnauthorized).toBe(true)
})

test('sslrootcert may be what the machine trusts', () => {
  const system = parsePostgresOptions({ ...least, sslrootcert: 'system' })
  expect(tlsOptions(system, 'h').ca).toBeInstanceOf(Array)
})

test('tlsOptions() send no server name for an address', () => {
  expect(
    tlsOptions(parsePostgresOptions({ ...least, host: '::1' }), '::1').servername,
  ).toBeUndefined()
})

test('the options of a resource file are those of the source', () => {
  expect([...postgresOptionNames].toSorted()).toEqual(Object.keys(postgresOptions).toSorted())
})

test.each(['postgres://u:hush@db/x', 'u:hush@db'])(
  'a host that holds a password is not shown: %s',
  (host) => {
    expect(() => parsePostgresOptions({ ...least, host })).toThrow(
      expect.objectContaining({
        code: 'SOURCE_OPTION_INVALID',
        message: expect.not.stringContaining('hush'),
      }),
    )
  },
)

test('host and port are lists, and one port does for all hosts', () => {
  expect(
    parsePostgresOptions({ ...least, host: 'a, [::1] ,/run/pg', port: '1,2,3' }).hosts,
  ).toEqual([
    { host: 'a', port: 1 },
    { host: '::1', port: 2 },
    { host: '/run/pg', port: 3 },
  ])
  const two = parsePostgresOptions({ ...least, host: 'a,b', port: '6' })
  expect(two.hosts.map(({ port }) => port)).toEqual([6, 6])
  expect(two.targetSession).toBe('primary')
})

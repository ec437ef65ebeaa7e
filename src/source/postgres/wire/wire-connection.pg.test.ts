import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../../test/support/embedded-postgres.ts'
import { openControl } from '../connect.ts'
import { parsePostgresOptions } from '../connection-options.ts'
import { makeCertificates } from '../testing/certificates.ts'
import { WireConnection } from './wire-connection.ts'

let server: EmbeddedPostgres
const passwords = { u_scram: 'sc ram\u00e9', u_md5: 'm d5', u_clear: 'cl ear' }

const certificates = makeCertificates()

function options(more: Record<string, string> = {}): ReturnType<typeof parsePostgresOptions> {
  return parsePostgresOptions({
    host: '127.0.0.1',
    port: String(server.port),
    database: 'postgres',
    user: 'postgres',
    password: server.password,
    sslmode: 'disable',
    ...more,
  })
}

const tls = { host: 'localhost', sslmode: 'verify-full', sslrootcert: certificates.ca }

beforeAll(async () => {
  server = await startEmbeddedPostgres({
    hba: [
      'hostssl all u_clear 127.0.0.1/32 password',
      'host all u_clear 127.0.0.1/32 password',
      'host all u_md5 127.0.0.1/32 md5',
      'host all u_denied 127.0.0.1/32 reject',
      'host all u_trust 127.0.0.1/32 trust',
      'host all all ::1/128 scram-sha-256',
    ],
  })
  for (const [user, password] of Object.entries(passwords)) {
    const encryption = user === 'u_md5' ? 'md5' : 'scram-sha-256'
    await server.sql(
      `set password_encryption = '${encryption}'; create role ${user} login password '${password}'`,
    )
  }
  await server.sql('create role u_denied login; create role u_trust login')
  await certificates.install(server)
})

afterAll(async () => {
  await server.stop()
  certificates.remove()
})

async function whoAmI(more: Record<string, string>): Promise<unknown> {
  const connection = await WireConnection.open(options(more))
  const rows = await connection.query('select current_user')
  connection.close()
  const control = await openControl(options(more))
  const same = await control.query('select current_user as me')
  await control.close()
  expect(same[0]?.['me']).toBe(rows[0]?.[0])
  return rows[0]?.[0]
}

/** Both clients fail with the same code. */
async function refusal(more: Record<string, string>): Promise<string> {
  const codes: string[] = []
  const opened = [
    async () => await WireConnection.open(options(more)),
    async () => await openControl(options(more)),
  ]
  for (const open of opened) {
    const error: unknown = await open().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    codes.push((error as { code?: string } | undefined)?.code ?? 'none')
    expect(String(error)).not.toContain(more['password'] ?? server.password)
  }
  expect(codes[1]).toBe(codes[0])
  return codes[0] ?? ''
}

describe('authentication', () => {
  test.each(['u_scram', 'u_md5'] as const)('%s gets in without TLS', async (user) => {
    expect(await whoAmI({ user, password: passwords[user] })).toBe(user)
  })

  test.each(['u_scram', 'u_md5', 'u_clear'] as const)('%s gets in over TLS', async (user) => {
    expect(await whoAmI({ ...tls, user, password: passwords[user] })).toBe(user)
  })

  test('a role without password gets in where the server trusts it', async () => {
    expect(await whoAmI({ user: 'u_trust' })).toBe('u_trust')
  })

  test('a cleartext password is not sent without TLS', async () => {
    const refused = await refusal({ user: 'u_clear', password: passwords.u_clear })
    expect(refused).toBe('SOURCE_AUTHENTICATION_UNSUPPORTED')
  })

  test.each([
    [
      'a wrong password',
      { user: 'u_scram', password: 'wrong one' },
      'SOURCE_AUTHENTICATION_FAILED',
    ],
    [
      'a wrong md5 password',
      { user: 'u_md5', password: 'wrong one' },
      'SOURCE_AUTHENTICATION_FAILED',
    ],
    ['no entry', { user: 'u_denied' }, 'SOURCE_AUTHENTICATION_FAILED'],
    ['no such role', { user: 'nobody there' }, 'SOURCE_AUTHENTICATION_FAILED'],
    ['no such database', { database: 'no such' }, 'SOURCE_DATABASE_MISSING'],
    ['a closed port', { port: '1' }, 'SOURCE_UNREACHABLE'],
    ['no such host', { host: 'no-such-host.invalid' }, 'SOURCE_UNREACHABLE'],
  ])('%s is refused by code', async (_name, more, code) => {
    expect(await refusal(more)).toBe(code)
  })
})

describe('TLS', () => {
  const encrypted = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'

  test.each([
    ['verify-full', tls],
    ['verify-ca by address', { ...tls, host: '127.0.0.1', sslmode: 'verify-ca' }],
    ['require without a root', { sslmode: 'require' }],
    ['a root by path', { ...tls, sslrootcert: join(certificates.folder, 'ca.pem') }],
  ])('%s encrypts', async (_name, more) => {
    const connection = await WireConnection.open(options(more))
    expect(await connection.query(encrypted)).toEqual([['t']])
    connection.close()
    const control = await openControl(options(more))
    expect(await control.query(encrypted)).toEqual([{ ssl: 't' }])
    await control.close()
  })

  test.each([
    ['a name that is not in the certificate', { ...tls, host: '127.0.0.1' }],
    ['another authority', { ...tls, sslrootcert: certificates.otherCa }],
    [
      'another authority with verify-ca',
      { sslmode: 'verify-ca', sslrootcert: certificates.otherCa },
    ],
    ['no authority at all', { host: 'localhost', sslmode: 'verify-full' }],
  ])('%s is refused', async (_name, more) => {
    expect(await refusal(more)).toBe('SOURCE_TLS_FAILED')
  })

  test('an answer larger than any buffer arrives whole over TLS', async () => {
    const connection = await WireConnection.open(options(tls))
    const rows = await connection.query("select repeat('é', 3000000)")
    expect(rows[0]?.[0]).toBe('é'.repeat(3_000_000))
    connection.close()
  })
})

describe('statements', () => {
  test('an error leaves the connection usable', async () => {
    const connection = await WireConnection.open(options())
    await expect(connection.query('select * from nowhere')).rejects.toMatchObject({
      code: 'SOURCE_TABLE_MISSING',
    })
    expect(await connection.query("select 1, null, ''")).toEqual([['1', null, '']])
    connection.close()
    await expect(connection.query('select 1')).rejects.toMatchObject({
      code: 'SOURCE_CONNECTION_LOST',
    })
  })

  test('a terminated backend is a lost connection', async () => {
    const connection = await WireConnection.open(options())
    const lost = expect(connection.query('select pg_sleep(60)')).rejects.toMatchObject({
      code: 'SOURCE_CONNECTION_LOST',
    })
    await server.sql(`select pg_terminate_backend(${connection.processId})`)
    await lost
  })

  test('cancel() stops a statement', async () => {
    const connection = await WireConnection.open(options(tls))
    const stopped = expect(connection.query('select pg_sleep(60)')).rejects.toMatchObject({
      code: 'SOURCE_QUERY_FAILED',
    })
    // A cancel that overtakes its statement would stop nothing.
    const activity = `select query from pg_stat_activity where pid = ${connection.processId} and state = 'active'`
    while ((await server.sql(activity)).length === 0);
    await connection.cancel()
    await stopped
    expect(await connection.query('select 2')).toEqual([['2']])
    connection.close()
  })

  test('sessions print values in one way', async () => {
    const connection = await WireConnection.open(options())
    const sql = `select 0.1::float4 + 0.2::float4, '\\xdeadbeef'::bytea, '2020-01-02 03:04:05+02'::timestamptz,
      interval '1 mon 2 days', current_setting('row_security')`
    const expected = ['0.3', '\\xdeadbeef', '2020-01-02 01:04:05+00', '1 mon 2 days', 'off']
    const [row] = await connection.query(sql)
    const control = await openControl(options())
    const [same] = await control.query(sql)
    await control.close()
    connection.close()
    expect(row?.[0]).toMatch(/^0\.3/)
    expect(row?.slice(1)).toEqual(expected.slice(1))
    expect(Object.values(same ?? {}).at(2)).toBe(row?.[2])
  })
})

describe('a server that misbehaves', () => {
  async function withServer(
    answer: (socket: Socket) => void,
    run: (port: string) => Promise<void>,
  ): Promise<void> {
    const fake: Server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => answer(socket))
    })
    await new Promise<void>((resolve) => fake.listen(0, '127.0.0.1', resolve))
    const address = fake.address()
    await run(String(typeof address === 'object' ? address?.port : 0))
    await new Promise((resolve) => fake.close(resolve))
  }

  test.each([
    ['does not offer TLS', 'N', 'SOURCE_TLS_REFUSED'],
    ['sends bytes after its answer', 'SEVIL', 'SOURCE_TLS_FAILED'],
    ['speaks something else', 'HTTP/1.1 400', 'SOURCE_TLS_FAILED'],
  ])('that %s is refused', async (_name, text, code) => {
    await withServer(
      (socket) => socket.write(text),
      async (port) => {
        const opening = WireConnection.open(options({ port, sslmode: 'require' }))
        await expect(opening).rejects.toMatchObject({ code })
      },
    )
  })

  test('that ends SCRAM without a proof is refused', async () => {
    const sasl = Buffer.from('R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0', 'latin1')
    const ok = Buffer.from('R\0\0\0\x08\0\0\0\0', 'latin1')
    await withServer(
      (socket) => socket.write(Buffer.concat([sasl, ok])),
      async (port) => {
        await expect(WireConnection.open(options({ port }))).rejects.toMatchObject({
          code: 'SOURCE_AUTHENTICATION_UNSUPPORTED',
        })
      },
    )
  })

  test('that is a pooler is called one', async () => {
    const text = 'SFATAL\0C08P01\0Munsupported startup parameter: DateStyle\0\0'
    const error = Buffer.from(`E\0\0\0${String.fromCharCode(text.length + 4)}${text}`, 'latin1')
    await withServer(
      (socket) => socket.end(error),
      async (port) => {
        expect(await refusal({ port })).toBe('SOURCE_POOLER')
      },
    )
  })

  test('with random bytes gives a coded error, whatever they are', async () => {
    const random = fc.uint8Array({ minLength: 1, maxLength: 200 })
    for (const bytes of fc.sample(random, 200)) {
      await withServer(
        (socket) => socket.end(bytes),
        async (port) => {
          const error: unknown = await WireConnection.open(options({ port })).catch(
            (reason: unknown) => reason,
          )
          expect((error as { code?: string }).code, Buffer.from(bytes).toString('hex')).toMatch(
            /^SOURCE_/,
          )
        },
      )
    }
  })

  test('that closes at once cannot be reached', async () => {
    await withServer(
      (socket) => socket.destroy(),
      async (port) => {
        const opening = WireConnection.open(options({ port, sslmode: 'require' }))
        await expect(opening).rejects.toMatchObject({ code: 'SOURCE_UNREACHABLE' })
      },
    )
  })
})

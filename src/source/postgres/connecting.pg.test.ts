/** Ways into a server, each taken by a wire, a replication and a control connection. */
import { execFileSync } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  postgresVersion,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { hasCode } from '../../base/errors.ts'
import { freePort } from '../../quickstart/embedded-postgres.ts'
import { openControl } from './connect.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { makeCertificates } from './testing/certificates.ts'
import { connectionOptions, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { type Proxy, startProxy } from './testing/proxy.ts'
import { WireConnection } from './wire/wire-connection.ts'

const certificates = makeCertificates()
let primary: EmbeddedPostgres
/** Recovers for ever from nothing: a standby to whoever asks. */
let standby: EmbeddedPostgres
let deadPort = 0

beforeAll(async () => {
  certificates.issue('client', 'u_cert')
  certificates.issue('stranger', 'u_nobody')
  const hba = [
    'hostssl all u_cert 127.0.0.1/32 cert',
    'hostnossl all u_cert 127.0.0.1/32 reject',
    'hostssl all u_both 127.0.0.1/32 scram-sha-256 clientcert=verify-ca',
    'host all u_trust 127.0.0.1/32 trust',
    'host all u_md5 127.0.0.1/32 md5',
  ]
  ;[primary, standby] = await Promise.all([
    startEmbeddedPostgres({ hba }),
    startEmbeddedPostgres({ settings: { hot_standby: 'on' } }),
  ])
  await certificates.install(primary)
  await primary.sql(`create role u_cert login replication; create role u_trust login replication;
    create role u_both login replication password 'both';
    set password_encryption = 'md5'; create role u_md5 login replication password 'md5'`)
  const twin = "create role twin login superuser replication password 'twin'"
  await Promise.all([primary.sql(twin), standby.sql(twin)])
  await standby.shutdown()
  writeFileSync(`${standby.folder}/data/standby.signal`, '')
  await standby.start()
  deadPort = await freePort()
})

afterAll(async () => {
  await Promise.all([primary.stop(), standby.stop()])
  certificates.remove()
})

type Options = ReturnType<typeof parsePostgresOptions>

function options(more: Record<string, string> = {}): Options {
  return parsePostgresOptions(connectionOptions(primary, more))
}

const ways: readonly ((options: Options) => Promise<string | null | undefined>)[] = [
  async (how) => await ask(how, false),
  async (how) => await ask(how, true),
  async (how) => {
    const control = await openControl(how)
    const [row] = await control.query('select current_user as me where $1 = 1', ['1'])
    await control.close()
    return row?.['me']
  },
]

async function ask(how: Options, isReplication: boolean): Promise<string | null | undefined> {
  const connection = await WireConnection.open(how, { isReplication })
  const [row] = await connection.query('select current_user')
  connection.close()
  return row?.[0]
}

/** Who all three are. */
async function whoAmI(how: Options): Promise<string | null | undefined> {
  const names = new Set<string | null | undefined>()
  for (const way of ways) names.add(await way(how))
  expect(names.size).toBe(1)
  return [...names][0]
}

interface Refusal {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

/** All three are refused alike, and nothing secret is said. */
async function refusal(how: Options): Promise<Refusal> {
  const refusals: Refusal[] = []
  for (const way of ways) {
    const error: unknown = await way(how).then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(String(error)).not.toContain(primary.password)
    refusals.push(error as Refusal)
  }
  expect(new Set(refusals.map((one) => one?.code)).size).toBe(1)
  return refusals[0] ?? { code: 'none', message: '', remedy: '' }
}

const tls = { host: 'localhost', sslmode: 'verify-full' }
const withCa = { ...tls, sslrootcert: certificates.ca }

describe('TLS', () => {
  test('direct TLS gets in and proves the server; an older one is told apart', async () => {
    const direct = { ...tls, sslnegotiation: 'direct' }
    if (postgresVersion >= 17) {
      const good = { ...direct, sslrootcert: certificates.ca }
      expect(await whoAmI(options(good))).toBe('postgres')
      const strange = { ...direct, sslrootcert: certificates.otherCa }
      expect((await refusal(options(strange))).code).toBe('SOURCE_TLS_FAILED')
    } else {
      const refused = await refusal(options({ ...direct, sslrootcert: certificates.ca }))
      expect(refused.code).toBe('SOURCE_TLS_FAILED')
      expect(refused.remedy).toContain('17')
    }
  })

  test('several authorities may be given', async () => {
    const both = `${certificates.otherCa}\n${certificates.ca}`
    expect(await whoAmI(options({ ...tls, sslrootcert: both }))).toBe('postgres')
  })

  test('a client certificate is enough where the server says so', async () => {
    const more = { ...withCa, user: 'u_cert', password: '' }
    const cert = certificates.read('client.pem')
    const key = certificates.read('client.key')
    expect(await whoAmI(options({ ...more, sslcert: cert, sslkey: key }))).toBe('u_cert')
    const paths = {
      sslcert: certificates.path('client.pem'),
      sslkey: certificates.path('client.key'),
    }
    expect(await whoAmI(options({ ...more, ...paths }))).toBe('u_cert')
    const stranger = {
      sslcert: certificates.path('stranger.pem'),
      sslkey: certificates.path('stranger.key'),
    }
    expect((await refusal(options({ ...more, ...stranger }))).code).toBe(
      'SOURCE_AUTHENTICATION_FAILED',
    )
    expect((await refusal(options(more))).code).toBe('SOURCE_AUTHENTICATION_FAILED')
  })

  test('a certificate and a password may both be asked for', async () => {
    const more = { ...withCa, user: 'u_both', password: 'both' }
    const paths = {
      sslcert: certificates.path('client.pem'),
      sslkey: certificates.path('client.key'),
    }
    expect(await whoAmI(options({ ...more, ...paths }))).toBe('u_both')
    expect((await refusal(options(more))).code).toBe('SOURCE_AUTHENTICATION_FAILED')
  })

  test('a key with a passphrase, and without it', async () => {
    const args = ['rsa', '-aes256', '-passout', 'pass:phrase-x', '-in', 'client.key', '-out']
    execFileSync('openssl', [...args, 'locked.key'], { cwd: certificates.folder, stdio: 'pipe' })
    const more = {
      ...withCa,
      user: 'u_cert',
      sslcert: certificates.path('client.pem'),
      sslkey: certificates.path('locked.key'),
    }
    expect(await whoAmI(options({ ...more, sslpassword: 'phrase-x' }))).toBe('u_cert')
    for (const wrong of [{}, { sslpassword: 'phrase-y' }]) {
      expect(() => options({ ...more, ...wrong })).toThrow(
        expect.objectContaining({
          code: 'SOURCE_OPTION_INVALID',
          message: expect.not.stringContaining('phrase-'),
        }),
      )
    }
  })

  test('a key that others may read is refused with the command that mends it', () => {
    const path = certificates.path('stranger.key')
    chmodSync(path, 0o644)
    const more = { ...withCa, sslcert: certificates.path('stranger.pem'), sslkey: path }
    expect(() => options(more)).toThrow(expect.objectContaining({ remedy: `chmod 0600 ${path}` }))
  })
})

describe('channel_binding', () => {
  test('require gets in with SCRAM over TLS', async () => {
    expect(await whoAmI(options({ ...withCa, channel_binding: 'require' }))).toBe('postgres')
    expect(await whoAmI(options({ ...withCa, channel_binding: 'disable' }))).toBe('postgres')
  })

  test.each([
    ['without TLS', {}],
    ['where the server trusts', { ...withCa, user: 'u_trust' }],
    ['with an MD5 password', { ...withCa, user: 'u_md5', password: 'md5' }],
  ])('require refuses %s', async (_name, more) => {
    const refused = await refusal(options({ ...more, channel_binding: 'require' }))
    expect(refused.code).toBe('SOURCE_AUTHENTICATION_UNSUPPORTED')
    expect(refused.message).toContain('channel_binding')
  })
})

describe('several hosts', () => {
  const list = (...ports: readonly number[]): Record<string, string> => ({
    host: ports.map(() => '127.0.0.1').join(),
    port: ports.join(),
    user: 'twin',
    password: 'twin',
  })
  const portOf = async (more: Record<string, string>): Promise<number> => {
    const connection = await WireConnection.open(options(more))
    connection.close()
    return connection.address.port
  }

  test('trap: a dead one and a standby are passed over for the primary', async () => {
    expect(await whoAmI(options(list(deadPort, standby.port, primary.port)))).toBe('twin')
    expect(await portOf(list(deadPort, standby.port, primary.port))).toBe(primary.port)
  })

  test.each([
    ['any', () => standby.port],
    ['read-write', () => primary.port],
    ['read-only', () => standby.port],
    ['primary', () => primary.port],
    ['standby', () => standby.port],
    ['prefer-standby', () => standby.port],
  ])('target_session_attrs %s chooses', async (session, port) => {
    const hosts = list(deadPort, standby.port, primary.port)
    expect(await portOf({ ...hosts, target_session_attrs: session })).toBe(port())
  })

  test('prefer-standby takes a primary when there is nothing else', async () => {
    const hosts = list(deadPort, primary.port)
    expect(await portOf({ ...hosts, target_session_attrs: 'prefer-standby' })).toBe(primary.port)
  })

  test('prefer-standby stays with a primary that is in use when a standby comes back', async () => {
    const gone = await startProxy(standby)
    const hosts = list(gone.port, primary.port)
    const shared = options({
      ...hosts,
      target_session_attrs: 'prefer-standby',
      connect_timeout: '0.3',
    })
    gone.target = { host: '127.0.0.1', port: deadPort }
    const first = await WireConnection.open(shared)
    gone.target = standby
    const second = await WireConnection.open(shared)
    expect([first.address.port, second.address.port]).toEqual([primary.port, primary.port])
    expect(await first.query('select 1')).toEqual([['1']])
    first.close()
    second.close()
    const third = await WireConnection.open(shared)
    expect(third.address.port).toBe(gone.port)
    third.close()
    await gone.close()
  })

  test('a primary that is read-only by default is none for read-write, and for us it writes', async () => {
    await primary.sql(`create role u_reader login replication password 'r';
      alter role u_reader set default_transaction_read_only = on;
      create schema u_reader authorization u_reader`)
    const one = { ...list(primary.port), user: 'u_reader', password: 'r' }
    expect((await refusal(options({ ...one, target_session_attrs: 'read-write' }))).code).toBe(
      'SOURCE_TARGET_SESSION',
    )
    const connection = await WireConnection.open(
      options({ ...one, target_session_attrs: 'primary' }),
    )
    await connection.query('create table u_reader.t (id int)')
    connection.close()
  })

  test('an error names every host tried, and why it would not do', async () => {
    const refused = await refusal(options(list(deadPort, standby.port)))
    expect(refused.code).toBe('SOURCE_UNREACHABLE')
    expect(refused.message).toContain(`127.0.0.1:${deadPort} cannot be reached`)
    expect(refused.message).toContain(`127.0.0.1:${standby.port} is a standby`)
    expect((await refusal(options(list(standby.port, standby.port)))).code).toBe(
      'SOURCE_TARGET_SESSION',
    )
  })

  test('a wrong password ends the search, as elsewhere', async () => {
    const refused = await refusal(options({ ...list(primary.port, deadPort), password: 'no' }))
    expect(refused.code).toBe('SOURCE_AUTHENTICATION_FAILED')
  })

  test('a host that says nothing is given up after connect_timeout, and the next is tried', async () => {
    const deaf = await startProxy(primary)
    deaf.stallAll()
    const hosts = { ...list(deaf.port, primary.port), connect_timeout: '0.3' }
    expect(await portOf(hosts)).toBe(primary.port)
    const alone = { ...list(deaf.port), connect_timeout: '0.3' }
    expect((await refusal(options(alone))).code).toBe('SOURCE_UNREACHABLE')
    await deaf.close()
  })

  test('the host that answered is the first to be tried again', async () => {
    const passed = await startProxy(standby)
    const shared = options(list(passed.port, primary.port))
    for (let times = 0; times < 3; times++) (await WireConnection.open(shared)).close()
    expect(passed.count).toBe(1)
    await passed.close()
  })
})

describe('trap: connections of one gateway on different servers', () => {
  test('the former connections end when a new one meets another server', async () => {
    const proxy = await startProxy(primary)
    const shared = options({ port: String(proxy.port), user: 'twin', password: 'twin' })
    const stream = await WireConnection.open(shared, { isReplication: true })
    const control = await openControl(shared)
    const sleeping = stream.query('select pg_sleep(60)').catch((error: unknown) => error)
    proxy.target = standby
    const moved = await WireConnection.open(shared)
    expect(hasCode(await sleeping, 'SOURCE_SERVER_CHANGED')).toBe(true)
    expect(control.isClosed).toBe(true)
    await expect(control.query('select 1')).rejects.toMatchObject({ code: 'SOURCE_SERVER_CHANGED' })
    expect(await moved.query('select pg_is_in_recovery()')).toEqual([['t']])
    moved.close()
    await proxy.close()
  })
})

test('trap: a copy from another server than the stream is on', async () => {
  await primary.sql('create table public.moving (id int primary key)')
  const proxy = await startProxy(primary)
  const connection = { port: String(proxy.port), user: 'twin', password: 'twin' }
  const source = sourceOf(primary, { name: 'moving', connection })
  const table = await tableNamed(source, 'moving')
  const state = await source.prepare([table], undefined)
  const stream = startStream({ source, state, tables: [table] })
  await primary.sql('insert into public.moving values (1)')
  await stream.until(() => stream.sink.transactions.length === 1)
  proxy.target = standby
  await source.beginSnapshot(table, { delivered: [] }).catch(() => undefined)
  await expect(stream.ended).rejects.toMatchObject({ code: 'SOURCE_SERVER_CHANGED' })
  proxy.target = primary
  await source.dispose()
  await source.close()
  await proxy.close()
})

describe('places', () => {
  const through = async (proxy: Proxy, more: Record<string, string>): Promise<void> => {
    expect(await whoAmI(options(more))).toBe('postgres')
    expect(proxy.count).toBeGreaterThan(0)
    await proxy.close()
  }

  test('a Unix socket needs no TLS, whatever sslmode says', async () => {
    const folder = certificates.folder
    const proxy = await startProxy(primary, { path: `${folder}/.s.PGSQL.6000` })
    await through(proxy, { host: folder, port: '6000', sslmode: 'verify-full' })
    const missing = await refusal(options({ host: folder, port: '6001' }))
    expect(missing.code).toBe('SOURCE_UNREACHABLE')
    expect(missing.message).toContain('.s.PGSQL.6001')
  })

  test('an IPv6 address, with brackets or without', async () => {
    for (const host of ['::1', '[::1]']) {
      const proxy = await startProxy(primary, { host: '::1' })
      await through(proxy, { host, port: String(proxy.port) })
    }
  })
})

describe('a password that changes', () => {
  test('is picked up at the next connect, from a file and from a command', async () => {
    await primary.sql("create role u_turn login replication password 'one'")
    const path = certificates.path('turning')
    const { password: _none, ...rest } = connectionOptions(primary, { user: 'u_turn' })
    const sources = [{ password_file: path }, { password_command: `cat '${path}'` }].map((source) =>
      parsePostgresOptions({ ...rest, ...source } as Record<string, string>),
    )
    for (const password of ['one', 'two']) {
      await primary.sql(`alter role u_turn password '${password}'`)
      writeFileSync(path, `${password}\n`, { mode: 0o600 })
      for (const source of sources) expect(await whoAmI(source)).toBe('u_turn')
    }
  })

  test('passfile is asked for the host that is being tried', async () => {
    const path = certificates.path('pgpass')
    const lines = `127.0.0.1:${primary.port}:postgres:postgres:${primary.password}\n*:*:*:*:wrong\n`
    writeFileSync(path, lines, { mode: 0o600 })
    const { password: _none, ...rest } = connectionOptions(primary, { passfile: path })
    expect(await whoAmI(parsePostgresOptions(rest))).toBe('postgres')
  })
})

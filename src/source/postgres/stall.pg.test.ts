/** Answers that never come: noticed, told apart from slow ones, and given a code. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import { createControl } from './control.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { type Proxy, startProxy } from './testing/proxy.ts'
import { copyOut } from './wire/copy-out.ts'
import { WireConnection } from './wire/wire-connection.ts'

let server: EmbeddedPostgres
const proxies: Proxy[] = []
const stalled = { code: 'SOURCE_STALLED', retry: 'backoff' }

beforeAll(async () => {
  server = await startEmbeddedPostgres()
})

afterAll(async () => {
  await Promise.all(proxies.map(async (proxy) => await proxy.close()))
  await server.stop()
})

async function proxied(...how: readonly Parameters<typeof startProxy>[1][]): Promise<Proxy> {
  const proxy = await startProxy(server, how[0])
  proxies.push(proxy)
  return proxy
}

function options(proxy: Proxy): ReturnType<typeof parsePostgresOptions> {
  const more = { port: String(proxy.port), stall_timeout: '0.4', connect_timeout: '1' }
  return parsePostgresOptions(connectionOptions(server, more))
}

describe('a statement', () => {
  test('whose answer is lost ends, and the next one is answered on a new connection', async () => {
    const proxy = await proxied()
    const control = createControl(options(proxy))
    await control.query('select 1')
    proxy.stall()
    await expect(control.query('select 2')).rejects.toMatchObject(stalled)
    expect(await control.query('select 3 as n')).toEqual([{ n: '3' }])
    await control.close()
  })

  test('that takes long is waited for', async () => {
    const connection = await WireConnection.open(options(await proxied()))
    expect(await connection.query("select 'done' from pg_sleep(1.3)")).toEqual([['done']])
    connection.close()
  })

  test('waiting for a lock is waited for', async () => {
    const holder = await server.connect()
    await holder.query('begin; select pg_advisory_xact_lock(7)')
    const connection = await WireConnection.open(options(await proxied()))
    const waiting = connection.query('select pg_advisory_lock(7)')
    let isDone = false
    void waiting.finally(() => (isDone = true))
    await holder.query('select pg_sleep(1.2)')
    expect(isDone).toBe(false)
    await holder.query('commit')
    await waiting
    await holder.end()
    connection.close()
  })

  test('whose server process is gone without a word ends', async () => {
    const proxy = await proxied()
    const connection = await WireConnection.open(options(proxy))
    const waiting = expect(connection.query('select pg_sleep(60)')).rejects.toMatchObject(stalled)
    proxy.stall()
    await server.sql(`select pg_terminate_backend(${connection.processId})`)
    await waiting
  })

  test('ends too when nothing at all can be reached any more', async () => {
    const proxy = await proxied()
    const connection = await WireConnection.open(options(proxy))
    proxy.stallAll()
    await expect(connection.query('select 1')).rejects.toMatchObject({
      ...stalled,
      message: expect.stringContaining('cannot be asked'),
    })
  })
})

test('trap: a copy that stops in the middle ends', async () => {
  const proxy = await proxied({ stallAfterBytes: 1_000_000 })
  const connection = await WireConnection.open(options(proxy))
  let bytes = 0
  const target = {
    row: (_bytes: Uint8Array, start: number, end: number) => void (bytes += end - start),
    pressure: () => undefined,
  }
  const statement = {
    sql: "copy (select repeat('x', 1000) from generate_series(1, 40000)) to stdout",
    doing: 'copying',
  }
  const copying = copyOut(connection, statement, target, new AbortController().signal)
  await expect(copying).rejects.toMatchObject(stalled)
  expect(bytes).toBeGreaterThan(0)
})

test('a copy that we pause ourselves is no stall', async () => {
  const connection = await WireConnection.open(options(await proxied()))
  let isPaused = false
  const statement = { sql: 'copy (select generate_series(1, 10)) to stdout', doing: 'copying' }
  let rows = 0
  const target = {
    row: () => void rows++,
    pressure: () => {
      if (isPaused) return undefined
      isPaused = true
      return new Promise<void>((resolve) => setTimeout(resolve, 1_000))
    },
  }
  await copyOut(connection, statement, target, new AbortController().signal)
  expect(rows).toBe(10)
  connection.close()
})

test('trap: a stream that says nothing ends; one that has nothing to say goes on', async () => {
  await server.sql('create table s1 (id int primary key)')
  const proxy = await proxied()
  const connection = { port: String(proxy.port), stall_timeout: '0.4', connect_timeout: '1' }
  const source = sourceOf(server, { name: 's1', connection })
  const table = await tableNamed(source, 's1')
  const state = await source.prepare([table], undefined)
  const stream = startStream({ source, state, tables: [table] })
  await server.sql('insert into s1 values (1)')
  await stream.until(() => stream.sink.transactions.length === 1)
  // Idle for several times the timeout.
  await server.sql('select pg_sleep(1.5)')
  await server.sql('insert into s1 values (2)')
  await stream.until(() => stream.sink.transactions.length === 2)
  proxy.stall()
  await expect(stream.ended).rejects.toMatchObject(stalled)
  // Its control connection came the same way.
  await expect(source.dispose()).rejects.toMatchObject(stalled)
  await source.dispose()
  await source.close()
})

/** Deaths between two statements that change something at the server: nothing is lost, nothing is left. */
import { beforeAll, expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { SourceTable } from '../table-schema.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

beforeAll(async () => {
  await server.sql(`create table keyed (id int primary key); create table loose (id int);
    create table other (id int primary key)`)
})

const changes =
  /(CREATE|ALTER|DROP|COMMENT ON) PUBLICATION|pg_(create_logical|drop)_replication_slot\(/

/**
 * Runs `work` in a process that dies once the server has done the first `count` statements that change
 * it. False: there were not so many.
 */
async function diesAfter(
  count: number,
  name: string,
  work: (source: PostgresSource) => Promise<unknown>,
): Promise<boolean> {
  let seen = 0
  const proxy = await startProxy(server, {
    rewriteAll: (bytes) => {
      if (changes.test(bytes.toString('latin1'))) seen++
      return bytes
    },
    answer: (bytes, send) => {
      if (seen < count) send(bytes)
      else void proxy.close()
    },
  })
  const source = sourceOf(server, { name, connection: { port: String(proxy.port) } })
  await work(source).then(
    () => expect(seen).toBeLessThan(count),
    (error: unknown) => expect(error).toMatchObject({ code: 'SOURCE_CONNECTION_LOST' }),
  )
  await source.close().catch(() => undefined)
  if (seen < count) await proxy.close()
  return seen >= count
}

/** One that is followed with its changes, and one for its inserts alone. */
async function chosen(source: PostgresSource): Promise<readonly SourceTable[]> {
  const loose = await tableNamed(source, 'loose')
  const inserts = { ...loose, schema: { ...loose.schema, identity: 'insert-only' as const } }
  return [await tableNamed(source, 'keyed'), inserts]
}

async function leftOf(name: string): Promise<readonly unknown[]> {
  return await server.sql(`select pubname as name from pg_publication where pubname like '${name}%'
    union all select slot_name from pg_replication_slots where slot_name = '${name}'`)
}

test('a first run', async () => {
  for (let count = 1; ; count++) {
    const name = `first_${count}`
    const hasDied = await diesAfter(count, name, async (source) => {
      await source.prepare(await chosen(source), undefined)
    })
    const source = sourceOf(server, { name })
    const tables = await chosen(source)
    const state = await source.prepare(tables, undefined)
    const stream = startStream({ source, state, tables })
    for (const table of tables) expect(await source.canBeginCopy(table)).toBe(true)
    await server.sql(`insert into keyed values (${count}); insert into loose values (${count})`)
    await stream.reach(await source.currentPosition())
    const rows = stream.sink.transactions.flatMap((transaction) => transaction.rows)
    expect(rows.map(({ table }) => table)).toEqual(['keyed', 'loose'])
    await stream.stop()
    await source.dispose()
    await source.close()
    expect(await leftOf(name)).toEqual([])
    if (hasDied) continue
    expect(count).toBeGreaterThan(5)
    break
  }
})

test('trap: a publication that is repaired', async () => {
  for (let count = 1; ; count++) {
    const name = `mended_${count}`
    const source = sourceOf(server, { name })
    const tables = [await tableNamed(source, 'keyed'), await tableNamed(source, 'other')]
    const state = await source.prepare(tables, undefined)
    await server.sql(`alter publication ${name} set (publish = 'insert')`)
    await server.sql(`insert into other values (${count}); delete from other`)
    const hasDied = await diesAfter(
      count,
      name,
      async (dying) => await dying.prepare(tables, state),
    )
    const next = sourceOf(server, { name })
    const stream = startStream({ source: next, state: await next.prepare(tables, state), tables })
    await stream.until(() => stream.sink.gaps.length === 2)
    expect(stream.sink.gaps.map(({ table }) => table)).toEqual(tables.map(({ id }) => id))
    await stream.stop()
    await next.close()
    await source.dispose()
    await source.close()
    if (hasDied) continue
    expect(count).toBeGreaterThan(2)
    break
  }
})

test('a removal', async () => {
  for (let count = 1; ; count++) {
    const name = `gone_${count}`
    const source = sourceOf(server, { name })
    await source.prepare(await chosen(source), undefined)
    const hasDied = await diesAfter(count, name, async (dying) => await dying.dispose())
    await source.dispose()
    await source.close()
    expect(await leftOf(name)).toEqual([])
    if (hasDied) continue
    expect(count).toBeGreaterThan(3)
    break
  }
})

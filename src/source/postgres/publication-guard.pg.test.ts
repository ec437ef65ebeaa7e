import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../observe/log.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { type Control, createControl } from './control.ts'
import { type Lsn, zeroLsn } from './lsn.ts'
import { fromPosition, parseIncarnation } from './position.ts'
import { PublicationGuard } from './publication-guard.ts'
import { connectionOptions, sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'

const server = serverForTests()

/** A guard of its own beside the source's; `after` is awaited after each of its statements. */
function guardOf(
  name: string,
  after: (sql: string) => Promise<void> = async () => undefined,
): { readonly control: Control; readonly guard: PublicationGuard } {
  const real = createControl(parsePostgresOptions(connectionOptions(server)))
  const control: Control = {
    ...real,
    query: async (sql, parameters) => {
      const rows = await real.query(sql, parameters)
      await after(sql)
      return rows
    },
  }
  const limits = { log: silentLog, clock: systemClock, blockedTimeoutMs: 10_000 }
  const placeAfterOlder = async (): Promise<Lsn> => zeroLsn
  return { control, guard: new PublicationGuard({ control, name, placeAfterOlder, ...limits }) }
}

test('trap: a session that decodes a transaction older than ADD TABLE may skip the table for ever after', async () => {
  await server.sql(
    'create table old_a (id int primary key); create table old_b (id int primary key)',
  )
  const source = sourceOf(server, { name: 'old' })
  const [a, b] = [await tableNamed(source, 'old_a'), await tableNamed(source, 'old_b')]
  const state = await source.prepare([a], undefined)
  expect(await source.canBeginCopy(a)).toBe(true)
  const open = await server.connect()
  await open.query('begin; insert into old_a values (1); insert into old_b values (1)')
  const more = await source.prepare([a, b], state)
  const first = startStream({ source, state: more, tables: [a, b] })
  expect(await source.canBeginCopy(b)).toBe(false)
  // The session is not ended for as long as the transaction is open.
  await first.reach(await source.currentPosition())
  expect(await source.canBeginCopy(b)).toBe(false)
  await open.query('commit')
  await open.end()
  expect(await source.canBeginCopy(b)).toBe(false)
  expect(await source.canBeginCopy(a)).toBe(true)
  expect(await first.ended).toBe('renew')
  expect(await source.canBeginCopy(b)).toBe(false)
  const next = startStream({ source, state: { position: first.reached }, tables: [a, b] })
  // Once the new session has begun.
  await expect.poll(async () => await source.canBeginCopy(b), { timeout: 30_000 }).toBe(true)
  await server.sql('insert into old_b values (2)')
  await next.reach(await source.currentPosition())
  // The older transaction is not decoded again, so nothing of the past is in the server's cache.
  expect(next.sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => cells[0]))).toEqual([
    '2',
  ])
  await next.stop()
  await source.dispose()
  await source.close()
})

test('transactions older than ADD TABLE that do not end are named', async () => {
  await server.sql(
    'create table late_a (id int primary key); create table late_b (id int primary key)',
  )
  const source = sourceOf(server, { name: 'late' })
  const hasty = sourceOf(server, { name: 'late', blockedTimeoutMs: 50 })
  const [a, b] = [await tableNamed(source, 'late_a'), await tableNamed(source, 'late_b')]
  const state = await source.prepare([a], undefined)
  const open = await server.connect()
  await open.query('begin; insert into late_a values (1)')
  await hasty.prepare([a, b], state)
  const untilBlocked = async (): Promise<void> => {
    while (!(await hasty.canBeginCopy(b)));
  }
  await expect(untilBlocked()).rejects.toMatchObject({
    code: 'SOURCE_SLOT_BLOCKED',
    message: expect.stringMatching(/process \d+ \(role postgres, idle in transaction/) as string,
  })
  await open.query('rollback')
  await open.end()
  await hasty.close()
  await source.dispose()
  await source.close()
})

test('trap: a table taken out and put back while another one is repaired', async () => {
  await server.sql(
    'create table gap_a (id int primary key); create table gap_b (id int primary key)',
  )
  const source = sourceOf(server, { name: 'gap' })
  const tables = [await tableNamed(source, 'gap_a'), await tableNamed(source, 'gap_b')]
  const state = await source.prepare(tables, undefined)
  const { control, guard } = guardOf('gap', async (sql) => {
    if (!sql.includes('ALTER PUBLICATION')) return
    await server.sql(
      'alter publication gap drop table gap_b; alter publication gap add table gap_b',
    )
  })
  await server.sql('alter publication gap drop table gap_a')
  const { publication } = parseIncarnation(state.incarnation)
  const position = fromPosition(state.position)
  const before = { fingerprint: publication, position, isPromoted: false }
  await guard.prepare(tables, { version: postgresVersion * 10_000, isStandby: false }, before)
  expect([...guard.takeGaps().keys()]).toEqual(tables.map(({ id }) => id))
  await control.close()
  await source.dispose()
  await source.close()
})

test('trap: a transaction that began while ADD TABLE was not committed yet is older than it, whatever its id', async () => {
  await server.sql(
    'create table mid_a (id int primary key); create table mid_b (id int primary key)',
  )
  const source = sourceOf(server, { name: 'mid' })
  const [a, b] = [await tableNamed(source, 'mid_a'), await tableNamed(source, 'mid_b')]
  const state = await source.prepare([a], undefined)
  const adding = await server.connect()
  const open = await server.connect()
  await adding.query('begin; alter publication mid add table mid_b')
  // A greater id than the one that adds the table; these rows are not published.
  await open.query('begin; insert into mid_b values (1)')
  await adding.query('commit')
  const { control, guard } = guardOf('mid')
  const { publication } = parseIncarnation(state.incarnation)
  const before = { fingerprint: publication, isPromoted: false }
  const position = fromPosition(state.position)
  await guard.prepare(
    [a, b],
    { version: postgresVersion * 10_000, isStandby: false },
    { ...before, position },
  )
  expect(await guard.canCopy(b)).toBe(false)
  expect(guard.trust.of(b.id, guard.sinceOf(b.id))).toBe('open')
  await open.query('commit')
  expect(await guard.canCopy(b)).toBe(false)
  expect(guard.trust.of(b.id, guard.sinceOf(b.id))).toBe('renewing')
  await Promise.all([adding.end(), open.end(), control.close()])
  await source.dispose()
  await source.close()
})

test('trap: ids of a promoted server begin again below those that its predecessor gave', async () => {
  await server.sql('create table ids (id int primary key)')
  const source = sourceOf(server, { name: 'ids' })
  const table = await tableNamed(source, 'ids')
  const state = await source.prepare([table], undefined)
  const { control, guard } = guardOf('ids')
  const { publication } = parseIncarnation(state.incarnation)
  const given = 2n ** 40n
  const entry = publication.tables[table.id]
  if (entry === undefined) throw new Error('not published')
  const tables = { [table.id]: { ...entry, since: String(given) } }
  const before = {
    fingerprint: { ...publication, tables },
    position: fromPosition(state.position),
    isPromoted: false,
  }
  const now = { version: postgresVersion * 10_000, isStandby: false }
  await guard.prepare([table], now, before)
  expect(guard.sinceOf(table.id)).toBe(given)
  await guard.prepare([table], now, { ...before, isPromoted: true })
  const [row] = await server.sql('select pg_current_xact_id()::text as next')
  expect(guard.sinceOf(table.id)).toBeLessThan(BigInt(String(row?.['next'])))
  await control.close()
  await source.dispose()
  await source.close()
})

test('trap: options flipped and flipped back between two looks', async () => {
  await server.sql('create table flip (id int primary key)')
  const source = sourceOf(server, { name: 'flip', watchIntervalMs: 20 })
  const tables = [await tableNamed(source, 'flip')]
  const state = await source.prepare(tables, undefined)
  const stream = startStream({ source, state, tables })
  await stream.reach(await source.currentPosition())
  const client = await server.connect()
  await client.query("begin; alter publication flip set (publish = 'insert')")
  await client.query(
    "alter publication flip set (publish = 'insert, update, delete, truncate'); commit",
  )
  await client.end()
  await stream.until(() => stream.sink.gaps.length > 0)
  expect(stream.sink.gaps.map(({ table }) => table)).toEqual([tables[0]?.id])
  await stream.stop()
  await source.dispose()
  await source.close()
})

test('trap: a table is distrusted while another one is put back, and before the next session', async () => {
  await server.sql(
    'create table dis_a (id int primary key); create table dis_b (id int primary key)',
  )
  const source = sourceOf(server, { name: 'dis' })
  const tables = [await tableNamed(source, 'dis_a'), await tableNamed(source, 'dis_b')] as const
  const [a, b] = tables
  const state = await source.prepare(tables, undefined)
  let meanwhile: (() => Promise<void>) | undefined
  const { control, guard } = guardOf('dis', async (sql) => {
    if (!sql.startsWith('SELECT pg_current_xact_id')) return
    const once = meanwhile
    meanwhile = undefined
    await once?.()
  })
  const { publication } = parseIncarnation(state.incarnation)
  const position = fromPosition(state.position)
  const before = { fingerprint: publication, position, isPromoted: false }
  const now = { version: postgresVersion * 10_000, isStandby: false }
  const putBack = async (): Promise<void> => {
    await server.sql(
      'alter publication dis drop table dis_b; alter publication dis add table dis_b',
    )
  }
  await guard.prepare(tables, now, before)
  const first = { a: guard.sinceOf(a.id), b: guard.sinceOf(b.id) }
  meanwhile = async () => {
    await putBack()
    await guard.watch()
  }
  await guard.distrust(a.id)
  const second = { a: guard.sinceOf(a.id), b: guard.sinceOf(b.id) }
  expect(second.a).toBeGreaterThan(first.a)
  expect(second.b).toBeGreaterThan(first.b)
  await putBack()
  meanwhile = async () => await guard.distrust(a.id)
  await guard.watch()
  const third = { a: guard.sinceOf(a.id), b: guard.sinceOf(b.id) }
  expect(third.a).toBeGreaterThan(second.a)
  expect(third.b).toBeGreaterThan(second.b)
  // The next session may begin before the place at which the server began to mistake the table.
  await guard.prepare(tables, now, before)
  expect(guard.sinceOf(a.id)).toBe(third.a)
  await control.close()
  await source.dispose()
  await source.close()
})

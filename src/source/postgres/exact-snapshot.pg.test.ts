/** A position and its snapshot agree, also about transactions that are just committing. */
import type pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../../../test/support/embedded-postgres.ts'
import type { SourceState } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import type { ExactSnapshot } from './exact-snapshot.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSink } from './testing/recording-sink.ts'

let server: EmbeddedPostgres
let look: pg.Client

beforeAll(async () => {
  const settings = {
    autovacuum: 'off',
    synchronous_standby_names: 'nobody',
    synchronous_commit: 'local',
    commit_siblings: '0',
  }
  server = await startEmbeddedPostgres({ settings })
  look = await server.connect()
})

afterAll(async () => {
  await look.end()
  await server.stop()
})

const never = new AbortController().signal

interface Session {
  readonly client: pg.Client
  readonly pid: number
  readonly xid: string
}

/** A session in a transaction that has an id. */
async function begun(): Promise<Session> {
  const client = await server.connect()
  // A session that the server ends with itself.
  client.on('error', () => undefined)
  await client.query('begin')
  const { rows } = await client.query<{ pid: number; xid: string }>(
    'select pg_backend_pid() as pid, pg_current_xact_id()::text as xid',
  )
  const [row] = rows
  if (row === undefined) throw new Error('no row')
  return { client, ...row }
}

/** Resolves when the query has a row. */
async function seen(sql: string): Promise<void> {
  while ((await look.query(sql)).rows.length === 0);
}

/**
 * The snapshot that a slot exports while `commit` is under way: the slot has waited already for all
 * that ran before, and learns of that transaction from the log alone.
 */
async function takenDuring<T>(
  take: () => Promise<ExactSnapshot>,
  commit: () => Promise<T>,
): Promise<{ readonly taking: Promise<ExactSnapshot>; readonly committing: T }> {
  const waited = (xid: string): string =>
    `select from pg_locks where locktype = 'transactionid' and not granted and transactionid = '${xid}'`
  const first = await begun()
  const taking = take()
  taking.catch(() => undefined)
  await seen(waited(first.xid))
  const second = await begun()
  await first.client.end()
  await seen(waited(second.xid))
  const committing = await commit()
  await second.client.end()
  return { taking, committing }
}

interface Prepared {
  readonly source: PostgresSource
  readonly table: SourceTable
  readonly state: SourceState
}

async function prepared(name: string): Promise<Prepared> {
  await server.sql(`create table ${name} (id int primary key)`)
  const source = sourceOf(server, { name, blockedTimeoutMs: 2000 })
  const table = await tableNamed(source, name)
  return { source, table, state: await source.prepare([table], undefined) }
}

async function shown(exact: ExactSnapshot, table: string): Promise<readonly number[]> {
  const reader = await server.connect()
  await reader.query('begin isolation level repeatable read')
  await reader.query(`set transaction snapshot '${exact.snapshotName}'`)
  const { rows } = await reader.query<{ id: number }>(`select id from ${table} order by id`)
  await reader.end()
  return rows.map(({ id }) => id)
}

async function streamed(
  { source, table, state }: Prepared,
  { position: until }: ExactSnapshot,
): Promise<readonly number[]> {
  const sink = new RecordingSink()
  const from = state.position
  await source.streamChanges({ from, until, tables: [table], sink, signal: never })
  return sink.transactions.flatMap(({ rows }) => rows.map(({ cells }) => Number(cells[0])))
}

/** Commits rows until one commit stands still between its record in the log and the note of it. */
async function stopInCommit(table: string): Promise<Session & { readonly rows: number }> {
  for (let rows = 1; ; rows++) {
    const session = await begun()
    await session.client.query(`insert into ${table} values (${rows})`)
    // Another commit is stopped in the middle of the flush that both need.
    const flusher = await begun()
    await flusher.client.query(
      "set commit_delay = 100000; select pg_logical_emit_message(true, 'test', '')",
    )
    const flush = flusher.client.query('commit')
    await seen(`select where not exists (select from pg_stat_activity
      where pid = ${flusher.pid} and state = 'idle in transaction')`)
    process.kill(flusher.pid, 'SIGSTOP')
    const commit = session.client.query('commit')
    // A server that shuts down while a test fails.
    commit.catch(() => undefined)
    const state = `select wait_event = 'WALWrite' as waits, state = 'idle' as over
      from pg_stat_activity where pid = ${session.pid}`
    let at: { readonly waits?: boolean | null; readonly over?: boolean } = {}
    while (at.waits !== true && at.over !== true) [at = {}] = (await look.query(state)).rows
    if (at.waits === true) process.kill(session.pid, 'SIGSTOP')
    process.kill(flusher.pid, 'SIGCONT')
    await flush
    await flusher.client.end()
    if (at.waits === true) return { ...session, rows }
    await session.client.end()
  }
}

/** What somebody reads who does not wait, or why the snapshot was not to be had. */
async function readAtOnce(taking: Promise<ExactSnapshot>, table: string): Promise<unknown> {
  try {
    const exact = await taking
    const ids = await shown(exact, table)
    await exact.close()
    return ids
  } catch (error) {
    return error
  }
}

/** The snapshot, the stream and the table itself have these rows. */
async function expectAll(place: Prepared, ids: readonly number[]): Promise<void> {
  const { source, table } = place
  const name = table.name.table
  const exact = await source.exactSnapshot()
  expect(await shown(exact, name)).toEqual(ids)
  expect(await streamed(place, exact)).toEqual(ids)
  await exact.close()
  const { rows } = await look.query<{ id: number }>(`select id from ${name} order by id`)
  expect(rows.map(({ id }) => id)).toEqual(ids)
  await source.dispose()
  await source.close()
}

describe('exactSnapshot()', () => {
  test('trap: read before its outcome is noted, a commit would be lost at the source itself', async () => {
    const place = await prepared('n1')
    const { taking, committing } = await takenDuring(
      async () => await place.source.exactSnapshot(),
      async () => await stopInCommit('n1'),
    )
    const outcome = await readAtOnce(taking, 'n1')
    process.kill(committing.pid, 'SIGCONT')
    // Comes after the end of the commit.
    await committing.client.query('select')
    await committing.client.end()
    expect(outcome).toMatchObject({ code: 'SOURCE_SLOT_BLOCKED' })
    const ids = Array.from({ length: committing.rows }, (_, i) => i + 1)
    await expectAll(place, ids)
  })

  test('trap: a commit that waits for a missing standby is waited for', async () => {
    const place = await prepared('n2')
    const { taking, committing } = await takenDuring(
      async () => await place.source.exactSnapshot(),
      async () => {
        const session = await begun()
        await session.client.query('set synchronous_commit = on; insert into n2 values (1)')
        const commit = session.client.query('commit')
        commit.catch(() => undefined)
        const { pid } = session
        await seen(`select from pg_stat_activity where pid = ${pid} and wait_event = 'SyncRep'`)
        return session
      },
    )
    expect(await readAtOnce(taking, 'n2')).toMatchObject({
      code: 'SOURCE_SLOT_BLOCKED',
      message: expect.stringContaining('waits for a synchronous standby'),
    })
    await server.sql("alter system set synchronous_standby_names = ''")
    await server.sql('select pg_reload_conf()')
    await committing.client.query('select')
    await committing.client.end()
    await expectAll(place, [1])
  })
})

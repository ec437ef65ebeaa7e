import { describe, expect, test } from 'vitest'
import { postgresVersion, startEmbeddedPostgres } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { TableSnapshot, UnfinishedCopy } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import type { PostgresSource } from './postgres-source.ts'
import { sourceOf, startStream, tableNamed } from './testing/postgres-fixture.ts'
import { RecordingSnapshotSink } from './testing/recording-sink.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

const never = new AbortController().signal
const nothing = { delivered: [] }

/** Rows of one chunk: ids to notes. */
async function read(
  snapshot: TableSnapshot,
  table: SourceTable,
  id: number,
): Promise<ReadonlyMap<string, string>> {
  const sink = new RecordingSnapshotSink(table)
  const chunk = snapshot.chunks[id]
  if (chunk === undefined) throw new Error(`no chunk ${id}`)
  await snapshot.readChunk(chunk, sink, never)
  return new Map(sink.rows().map(({ cells }) => [cells[0] ?? '', cells[1] ?? '']))
}

interface Begun {
  readonly source: PostgresSource
  readonly table: SourceTable
  readonly snapshot: TableSnapshot
  /** After its first chunk. */
  readonly copy: UnfinishedCopy
  readonly first: ReadonlyMap<string, string>
}

/** A copy of a table of several one-block chunks, cut off after the first. */
async function cutOff(name: string): Promise<Begun> {
  await server.sql(`create table ${name} (id int primary key, note text);
    insert into ${name} select g, repeat('x', 200) from generate_series(1, 120) g`)
  const source = sourceOf(server, { name, snapshotChunkBytes: 8192, blockedTimeoutMs: 1000 })
  const table = await tableNamed(source, name)
  await source.prepare([table], undefined)
  const snapshot = await source.beginSnapshot(table, nothing)
  expect(snapshot.chunks.length).toBeGreaterThan(2)
  const first = await read(snapshot, table, 0)
  const range = snapshot.chunks[0]?.range ?? ''
  const copy = { points: [snapshot.point], chunks: [{ range, point: 0 }] }
  return { source, table, snapshot, copy, first }
}

async function resume({ source, table, copy }: Begun): Promise<TableSnapshot> {
  const outcome = await source.resumeSnapshot(table, copy, nothing)
  if (outcome.kind === 'refused') throw new Error(outcome.reason)
  return outcome.snapshot
}

/** Everything the resumed copy reads: by first reading and by refresh. */
async function rest(
  snapshot: TableSnapshot,
  table: SourceTable,
): Promise<{ fresh: Map<string, string>; again: Map<string, string> }> {
  const found = { fresh: new Map<string, string>(), again: new Map<string, string>() }
  for (const { id, refresh } of snapshot.chunks) {
    const rows = await read(snapshot, table, id)
    for (const [key, note] of rows) (refresh === true ? found.again : found.fresh).set(key, note)
  }
  await snapshot.close()
  return found
}

async function end({ source, snapshot }: Begun): Promise<void> {
  await snapshot.close()
  await source.dispose()
  await source.close()
}

/** Before it a part of a table cannot be read alone, so every copy is one chunk. */
const firstWithRanges = 14

const resumedCopies = (): void => {
  test('trap: reads what is left, also what the table grew by, and what changed in what was read', async () => {
    const begun = await cutOff('s1')
    await begun.snapshot.close()
    const known = [...begun.first.keys()]
    await server.sql(`update s1 set note = 'changed' where id = 1;
      update s1 set note = 'from afar' where id = 120; delete from s1 where id = 2;
      insert into s1 select g, repeat('y', 200) from generate_series(200, 300) g`)
    const snapshot = await resume(begun)
    const { fresh, again } = await rest(snapshot, begun.table)
    // What changed left the part that was read, or is read again.
    const all = new Map([...begun.first, ...fresh, ...again])
    const truth = await server.sql('select id::text, note from s1')
    all.delete('2')
    expect(new Map(truth.map((row) => [row['id'], row['note']]))).toEqual(all)
    for (const id of known.filter((one) => one !== '1' && one !== '2')) {
      expect(fresh.has(id)).toBe(false)
    }
    expect(again.size).toBeLessThan(20)
    await end(begun)
  })

  test('trap: a row of a sub-transaction whose id stands in no snapshot moved into a part that was read', async () => {
    await server.sql(`create table s2 (id int primary key, note text);
      insert into s2 select g, repeat('x', 200) from generate_series(1, 120) g;
      delete from s2 where id < 20`)
    await server.sql('vacuum s2')
    const source = sourceOf(server, { name: 's2', snapshotChunkBytes: 8192 })
    const table = await tableNamed(source, 's2')
    await source.prepare([table], undefined)
    const client = await server.connect()
    // Its top-level id is older than the snapshot's newest, so is that of its sub-transaction.
    await client.query('begin; select pg_current_xact_id(); savepoint a')
    await client.query("update s2 set note = repeat('m', 200) where id = 50")
    await server.sql('select pg_current_xact_id()')
    const snapshot = await source.beginSnapshot(table, nothing)
    const first = await read(snapshot, table, 0)
    expect(first.get('50')).toBeUndefined()
    const copy = {
      points: [snapshot.point],
      chunks: [{ range: snapshot.chunks[0]?.range ?? '', point: 0 }],
    }
    await snapshot.close()
    await client.query('commit')
    await client.end()
    const [place] = await server.sql('select ctid::text as at from s2 where id = 50')
    expect(place?.['at']).toMatch(/^\(0,/)
    const begun = { source, table, snapshot, copy, first }
    const { again } = await rest(await resume(begun), table)
    expect(again.get('50')).toBe('m'.repeat(200))
    await end(begun)
  })

  test('trap: a place that was cleaned up and taken by another row, frozen at once', async () => {
    const begun = await cutOff('s3')
    await begun.snapshot.close()
    await server.sql('delete from s3 where id <= 10')
    await server.sql('vacuum (freeze) s3')
    await server.sql("insert into s3 select g, 'late' from generate_series(500, 505) g")
    await server.sql('vacuum (freeze) s3')
    const [place] = await server.sql('select min(ctid)::text as at from s3 where id >= 500')
    expect(place?.['at']).toMatch(/^\(0,/)
    const { again } = await rest(await resume(begun), begun.table)
    for (let id = 500; id <= 505; id++) expect(again.get(String(id))).toBe('late')
    await end(begun)
  })

  test.each(['vacuum full s4', 'cluster s4 using s4_pkey', 'truncate s4'])(
    'trap: after %s no row is at its old place, so the copy is not resumed',
    async (statement) => {
      const begun = await cutOff('s4')
      await begun.snapshot.close()
      await server.sql(statement)
      const outcome = await begun.source.resumeSnapshot(begun.table, begun.copy, nothing)
      expect(outcome).toMatchObject({ kind: 'refused' })
      await end(begun)
      await server.sql('drop table s4')
    },
  )
}

const copiesFromZero = (): void => {
  test('the server reads a table whole for every part of it: a copy is one chunk that cannot be resumed', async () => {
    await server.sql(`create table s1 (id int primary key, note text);
      insert into s1 select g, repeat('x', 200) from generate_series(1, 120) g`)
    const source = sourceOf(server, { name: 's1', snapshotChunkBytes: 8192 })
    const table = await tableNamed(source, 's1')
    await source.prepare([table], undefined)
    const snapshot = await source.beginSnapshot(table, nothing)
    expect(snapshot.chunks.map(({ range }) => range)).toEqual([undefined])
    expect((await read(snapshot, table, 0)).size).toBe(120)
    await snapshot.close()
    await source.dispose()
    await source.close()
  })
}

describe('resumeSnapshot()', postgresVersion < firstWithRanges ? copiesFromZero : resumedCopies)

test('a begin that waits ends when it is aborted', async () => {
  await server.sql('create table a1 (id int primary key)')
  const source = sourceOf(server, { name: 'a1' })
  const table = await tableNamed(source, 'a1')
  await source.prepare([table], undefined)
  const client = await server.connect()
  await client.query('begin; lock table a1 in access exclusive mode')
  const stop = new AbortController()
  const beginning = source.beginSnapshot(table, { delivered: [], signal: stop.signal })
  const failed = expect(beginning).rejects.toMatchObject({ code: 'ABORTED' })
  stop.abort()
  await failed
  await client.query('rollback')
  await client.end()
  await source.dispose()
  await source.close()
})

test('trap: a transaction that this process was sent and that no query can see yet', async () => {
  const settings = { synchronous_standby_names: 'nobody', synchronous_commit: 'local' }
  const waiting = await startEmbeddedPostgres({ settings })
  try {
    await waiting.sql('create table y2 (id int primary key)')
    const source = sourceOf(waiting, { name: 'y2', blockedTimeoutMs: 300 })
    const table = await tableNamed(source, 'y2')
    const state = await source.prepare([table], undefined)
    // From here on only what is said to be delivered counts.
    await (await source.beginSnapshot(table, nothing)).close()
    const stream = startStream({ source, state, tables: [table] })
    const client = await waiting.connect()
    await client.query('set synchronous_commit = on')
    const commit = client.query('insert into y2 values (1)')
    await stream.until(() => stream.sink.transactions.some(({ rows }) => rows.length > 0))
    const delivered = [...stream.sink.transactions]
    await expect(source.beginSnapshot(table, { delivered })).rejects.toMatchObject({
      code: 'SOURCE_SLOT_BLOCKED',
    })
    await waiting.sql("alter system set synchronous_standby_names = ''")
    await waiting.sql('select pg_reload_conf()')
    await commit
    const snapshot = await source.beginSnapshot(table, { delivered })
    expect([...(await read(snapshot, table, 0)).keys()]).toEqual(['1'])
    await snapshot.close()
    await stream.stop()
    await client.end()
    await source.dispose()
    await source.close()
  } finally {
    await waiting.stop()
  }
})

test('trap: a transaction that an earlier process was sent and that no query can see yet', async () => {
  // A commit that waits for a standby is in the log and is not visible.
  const settings = { synchronous_standby_names: 'nobody', synchronous_commit: 'local' }
  const waiting = await startEmbeddedPostgres({ settings })
  try {
    await waiting.sql('create table y1 (id int primary key)')
    const earlier = sourceOf(waiting, { name: 'y1' })
    const table = await tableNamed(earlier, 'y1')
    const state = await earlier.prepare([table], undefined)
    const client = await waiting.connect()
    await client.query('set synchronous_commit = on')
    const stream = startStream({ source: earlier, state, tables: [table] })
    const commit = client.query('insert into y1 values (1)')
    await stream.until(() => stream.sink.transactions.some(({ rows }) => rows.length > 0))
    await stream.stop()
    await earlier.close()
    const source = sourceOf(waiting, { name: 'y1', blockedTimeoutMs: 300 })
    await source.prepare([table], state)
    await expect(source.beginSnapshot(table, nothing)).rejects.toMatchObject({
      code: 'SOURCE_SLOT_BLOCKED',
    })
    await waiting.sql("alter system set synchronous_standby_names = ''")
    await waiting.sql('select pg_reload_conf()')
    await commit
    const snapshot = await source.beginSnapshot(table, nothing)
    expect([...(await read(snapshot, table, 0)).keys()]).toEqual(['1'])
    await snapshot.close()
    await client.end()
    await source.dispose()
    await source.close()
  } finally {
    await waiting.stop()
  }
})

/** What is left at the source of copies that could not be begun. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { systemClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import { silentLog } from '../../observe/log.ts'
import type { TableSnapshot } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { createControl } from './control.ts'
import { IdleSessions } from './idle-sessions.ts'
import { beginTableSnapshot } from './snapshot.ts'
import { connectionOptions, sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { startProxy } from './testing/proxy.ts'
import { RecordingSnapshotSink } from './testing/recording-sink.ts'
import type { WireConnection } from './wire/wire-connection.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

/** Whose sessions break at a statement. */
class BreakingSessions extends IdleSessions {
  readonly #statement: string

  constructor(statement: string) {
    super()
    this.#statement = statement
  }

  override async open(options: Parameters<IdleSessions['open']>[0]): Promise<WireConnection> {
    const session = await super.open(options)
    const query = session.query.bind(session)
    session.query = async (sql, doing) => {
      if (sql.includes(this.#statement)) throw new SluiceError('SOURCE_CONNECTION_LOST', 'broke')
      return await query(sql, doing)
    }
    return session
  }
}

test.each([
  ['it looks at the table', 'pg_relation_size'],
  ['it has all it needs', 'SET LOCAL lock_timeout TO DEFAULT'],
])(
  'trap: a copy that fails under an exact snapshot when %s leaves no slot and no session behind',
  async (_, statement) => {
    await server.sql('create table if not exists e1 (id int primary key)')
    const source = sourceOf(server, { name: 'e1' })
    const table = await tableNamed(source, 'e1')
    const options = parsePostgresOptions(connectionOptions(server), systemClock)
    const control = createControl(options)
    const context = {
      options,
      control,
      sessions: new BreakingSessions(statement),
      log: silentLog,
      publicationName: 'e1',
      clock: systemClock,
      serverVersion: postgresVersion * 10_000,
      // As a standby is copied; an exact snapshot can be had of a primary as well.
      isStandby: true,
      timeoutMs: 10_000,
      chunkBytes: 2 ** 20,
    }
    const request = { table, delivered: [], since: 0n }
    await expect(beginTableSnapshot(context, request)).rejects.toMatchObject({
      code: 'SOURCE_CONNECTION_LOST',
    })
    const left = `select from pg_replication_slots where temporary
    union all select from pg_stat_activity where backend_type = 'walsender'`
    while ((await server.sql(left)).length > 0);
    await control.close()
    await source.close()
  },
)

test('a copy whose session has ended says so, and a cell that can not be read is told each time', async () => {
  await server.sql(`create table e2 (id int primary key, n int); insert into e2 values (1, 1234567);
    create table e3 (id int primary key); insert into e3 select generate_series(1, 9999)`)
  const proxy = await startProxy(server, {
    answer: (bytes, send) => {
      const at = bytes.indexOf('1234567')
      if (at >= 0) bytes.write('12x4567', at)
      send(bytes)
    },
  })
  const connection = { port: String(proxy.port) }
  const source = sourceOf(server, { name: 'e2', connection, snapshotChunkBytes: 8192 })
  const tables = [await tableNamed(source, 'e2'), await tableNamed(source, 'e3')] as const
  await source.prepare(tables, undefined)
  const read = async (snapshot: TableSnapshot, table: SourceTable): Promise<void> => {
    const [chunk] = snapshot.chunks
    if (chunk === undefined) throw new Error('no chunk')
    const sink = new RecordingSnapshotSink(table)
    await snapshot.readChunk(chunk, sink, new AbortController().signal)
  }
  const spoilt = await source.beginSnapshot(tables[0], { delivered: [] })
  for (let tries = 0; tries < 2; tries++) {
    await expect(read(spoilt, tables[0])).rejects.toMatchObject({ code: 'SOURCE_VALUE_MALFORMED' })
  }
  await spoilt.close()
  const orphan = await source.beginSnapshot(tables[1], { delivered: [] })
  await server.sql(`select pg_terminate_backend(l.pid) from pg_locks l
    where l.relation = 'e3'::regclass and l.mode = 'AccessShareLock'`)
  // Version 13 has no parts of a table that other sessions could read.
  const told = postgresVersion < 14 ? 'The connection' : 'public.e3'
  const end = {
    code: 'SOURCE_CONNECTION_LOST',
    message: expect.stringContaining(told) as string,
  }
  await expect
    .poll(async () => await read(orphan, tables[1]).catch((error: unknown) => error))
    .toMatchObject(end)
  await orphan.close()
  await source.dispose()
  await source.close()
  await proxy.close()
})

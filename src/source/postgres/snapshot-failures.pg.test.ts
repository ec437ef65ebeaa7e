/** What is left at the source of copies that could not be begun. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { systemClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import { silentLog } from '../../observe/log.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { createControl } from './control.ts'
import { IdleSessions } from './idle-sessions.ts'
import { beginTableSnapshot } from './snapshot.ts'
import { connectionOptions, sourceOf, tableNamed } from './testing/postgres-fixture.ts'
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

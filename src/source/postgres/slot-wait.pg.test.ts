/** Waits for other sessions' transactions end by their own limit, never by that of table locks. */
import { expect, test, vi } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type * as Options from './connection-options.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'

vi.mock('./connection-options.ts', async (original) => {
  const real = await original<typeof Options>()
  return { ...real, sessionSettings: { ...real.sessionSettings, lock_timeout: '50' } }
})

const server = serverForTests()

test('a slot that waits longer than a lock may still names who blocks it', async () => {
  const source = sourceOf(server, { name: 'w1', blockedTimeoutMs: 500 })
  await server.sql('create table w1 (id int primary key)')
  const table = await tableNamed(source, 'w1')
  const writer = await server.connect()
  await writer.query('begin; insert into w1 values (1)')
  const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid')
  const blocked = {
    code: 'SOURCE_SLOT_BLOCKED',
    message: expect.stringContaining(String(rows[0]?.pid)),
  }
  await expect(source.prepare([table], undefined)).rejects.toMatchObject(blocked)
  await expect(source.exactSnapshot()).rejects.toMatchObject(blocked)
  await writer.end()
  await source.dispose()
  await source.close()
})

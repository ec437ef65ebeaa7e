/** A command that prints the password, at a real server. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions } from './testing/postgres-fixture.ts'
import { WireConnection } from './wire/wire-connection.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

test('trap: a command that takes too long is told as such, not as a silent server', async () => {
  const { password: _, ...options } = connectionOptions(server, {
    connect_timeout: '0.5',
    password_command: 'sleep 100',
  })
  await expect(WireConnection.open(parsePostgresOptions(options))).rejects.toMatchObject({
    code: 'SOURCE_PASSWORD_UNAVAILABLE',
    message: expect.stringContaining('connect_timeout (0.5 s)'),
  })
})

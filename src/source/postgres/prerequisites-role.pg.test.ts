import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import type { Finding } from '../finding.ts'
import { sourceOf } from './testing/postgres-fixture.ts'

const server = serverForTests()
test('the right to write marks into the log is missed when it was revoked', async () => {
  const variants = postgresVersion >= 17 ? 'boolean, text, text, boolean' : 'boolean, text, text'
  const marks = `function pg_logical_emit_message(${variants})`
  await server.sql(`create role silent login replication password 'silent';
    revoke execute on ${marks} from public`)
  const source = sourceOf(server, {
    name: 'silent',
    connection: { user: 'silent', password: 'silent' },
  })
  const missed = async (): Promise<Finding | undefined> =>
    (await source.check(undefined)).find(({ subject }) => subject === 'log messages')
  const finding = await missed()
  expect(finding).toMatchObject({ severity: 'error', code: 'SOURCE_PERMISSION_DENIED' })
  await server.sql(finding?.remedy ?? '')
  expect(await missed()).toBeUndefined()
  await server.sql(`grant execute on ${marks} to public`)
  await source.close()
})

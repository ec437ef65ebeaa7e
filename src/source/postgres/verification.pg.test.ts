/** What the server says of its own rows, table by table, in one transaction. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { parsePostgresOptions } from './connection-options.ts'
import { connectionOptions, sourceOf, tableNamed } from './testing/postgres-fixture.ts'
import { openVerification } from './verification.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

test('trap: a table that can not be read does not end the transaction in which the others are', async () => {
  await server.sql(`CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
    INSERT INTO a VALUES (1); INSERT INTO b VALUES (1), (2)`)
  const source = sourceOf(server, { name: 'verification' })
  const [a, b] = [await tableNamed(source, 'a'), await tableNamed(source, 'b')]
  const verification = await source.openVerification([a, b])
  try {
    const columns = a.schema.columns.map((column) => ({ ...column, name: 'gone' }))
    const broken = { ...a, schema: { ...a.schema, columns, key: ['gone'] } }
    // At once, as both sides are read at once.
    const [failed, read] = await Promise.allSettled([
      verification.digestTable(broken, ['gone']),
      verification.digestTable(b, ['id']),
    ])
    expect(failed.status).toBe('rejected')
    expect(
      read.status === 'fulfilled' && read.value.reduce((sum, { rows }) => sum + rows, 0n),
    ).toBe(2n)
  } finally {
    await verification.close()
    await source.close()
  }
})

test('a table that is truncated after every snapshot: the remedy is to verify later, not to copy', async () => {
  await server.sql('CREATE TABLE c (id int PRIMARY KEY)')
  const source = sourceOf(server, { name: 'overtaken' })
  const tables = [await tableNamed(source, 'c')]
  const exportSnapshot = async (): ReturnType<typeof source.exactSnapshot> => {
    const exact = await source.exactSnapshot()
    await server.sql('TRUNCATE c')
    return exact
  }
  const options = parsePostgresOptions(connectionOptions(server))
  await expect(openVerification(options, tables, exportSnapshot)).rejects.toMatchObject({
    code: 'SOURCE_TABLE_CHANGED',
    remedy: expect.stringContaining('sluice verify'),
  })
  await source.close()
})

/** What the server says of its own rows, table by table, in one transaction. */
import { expect, test } from 'vitest'
import { startEmbeddedPostgres } from '../../../test/support/embedded-postgres.ts'
import { sourceOf, tableNamed } from './testing/postgres-fixture.ts'

test('trap: a table that can not be read does not end the transaction in which the others are', async () => {
  const server = await startEmbeddedPostgres()
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
    await server.stop()
  }
})

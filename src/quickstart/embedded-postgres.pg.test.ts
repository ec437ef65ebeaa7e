import { expect, test } from 'vitest'
import { startEmbeddedPostgres } from './embedded-postgres.ts'

test('startEmbeddedPostgres() serves, survives a crash and keeps committed rows', async () => {
  const server = await startEmbeddedPostgres()
  try {
    await server.sql('create table t (a int); insert into t values (1)')
    await server.crash()
    await server.start()
    expect(await server.sql('select a from t')).toEqual([{ a: 1 }])
  } finally {
    await server.stop()
  }
})

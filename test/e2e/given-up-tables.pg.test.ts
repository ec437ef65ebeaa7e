/** Tables that a running gateway gives up: it says what to do, and goes on with them once it is done. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints } from '../../src/base/failpoint.ts'
import { createParquetEncoder } from '../../src/columnar/parquet/create-encoder.ts'
import { createGateway } from '../../src/gateway/gateway.ts'
import type { TableStatus } from '../../src/gateway/gateway-status.ts'
import { silentLog } from '../../src/observe/log.ts'
import { sourceOf } from '../../src/source/postgres/testing/postgres-fixture.ts'
import { openStagingLog } from '../../src/staging/staging-log.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../support/embedded-postgres.ts'

let server: EmbeddedPostgres

beforeAll(async () => {
  server = await startEmbeddedPostgres({ settings: { fsync: 'off' } })
})

afterAll(async () => {
  await server.stop()
})

/** Of tables `a` and `b` of `schema`, which a role of that name reads but does not own. */
async function whileRunning(
  schema: string,
  work: (until: (isSo: (table: TableStatus) => boolean) => Promise<TableStatus>) => Promise<void>,
): Promise<void> {
  await server.sql(`CREATE ROLE ${schema} LOGIN REPLICATION PASSWORD 'p'; CREATE SCHEMA ${schema};
    GRANT USAGE ON SCHEMA ${schema} TO ${schema};
    CREATE TABLE ${schema}.a (id int PRIMARY KEY, v text); INSERT INTO ${schema}.a VALUES (1, '1');
    CREATE TABLE ${schema}.b (id int PRIMARY KEY);
    GRANT SELECT ON ALL TABLES IN SCHEMA ${schema} TO ${schema};
    CREATE PUBLICATION ${schema} FOR TABLE ${schema}.a, ${schema}.b`)
  const folder = await mkdtemp(join(tmpdir(), 'sluice-given-up-'))
  const connection = { user: schema, password: 'p' }
  const source = sourceOf(server, { name: schema, watchIntervalMs: 200, connection })
  const common = { clock: systemClock, log: silentLog, failpoints: noFailpoints }
  const storage = createLocalStorage(folder)
  const staging = await openStagingLog({
    storage,
    writer: schema,
    createEncoder: createParquetEncoder,
    ...common,
  })
  const gateway = createGateway({
    source,
    staging,
    tables: { schemas: [schema], tables: [] },
    settings: { discoverIntervalMs: 100, givenUpBackoff: { firstMs: 300, capMs: 600 } },
    ...common,
  })
  const stop = new AbortController()
  const running = gateway.run({ mode: 'continuous', signal: stop.signal })
  const until = async (isSo: (table: TableStatus) => boolean): Promise<TableStatus> => {
    const deadline = Date.now() + 30_000
    for (;;) {
      const { tables } = gateway.status()
      const found = tables.find(({ name }) => name.table === 'a')
      if (found !== undefined && isSo(found)) {
        // The other one never noticed.
        expect(tables.find(({ name }) => name.table === 'b')?.problem).toBeUndefined()
        return found
      }
      if (Date.now() > deadline) throw new Error(`it did not come: ${JSON.stringify(found)}`)
      await pause(20)
    }
  }
  try {
    await until(({ state }) => state === 'streaming')
    await work(until)
  } finally {
    stop.abort()
    await running
    await source.dispose()
    await source.close()
    await staging.close()
    await rm(folder, { recursive: true, force: true })
  }
}

test.concurrent('one that may not be read any more says which grant, and is copied after it', async () => {
  await whileRunning('lost', async (until) => {
    await server.sql(`REVOKE SELECT ON lost.a FROM lost;
      ALTER TABLE lost.a ALTER v TYPE int USING v::int`)
    const denied = 'GRANT SELECT ON TABLE "lost"."a" TO "lost";'
    const failed = await until(({ problem }) => problem?.remedy === denied)
    expect(failed).toMatchObject({ state: 'failed', problem: { code: 'SOURCE_PERMISSION_DENIED' } })
    await server.sql(denied)
    expect(await until(({ state }) => state === 'streaming')).not.toHaveProperty('problem')
  })
})

test.concurrent('one whose columns stand in the way is copied when they do not any more', async () => {
  await whileRunning('clash', async (until) => {
    await server.sql('ALTER TABLE clash.a ADD COLUMN _seq int; INSERT INTO clash.a VALUES (2)')
    const failed = await until(({ state }) => state === 'failed')
    expect(failed.problem?.code).toBe('GATEWAY_COLUMN_CLASH')
    await server.sql('ALTER TABLE clash.a RENAME _seq TO seq')
    await until(({ state }) => state === 'streaming')
  })
})

/** Partitions that come and go in the middle of a copy, or slowly. */
import { expect, test } from 'vitest'
import { postgresVersion } from '../../../test/support/embedded-postgres.ts'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { copyOf, partitionScene, stream } from './testing/partition-fixture.ts'

const server = serverForTests({ settings: { fsync: 'off' } })

async function waitFor(condition: string): Promise<void> {
  while ((await server.sql(`select 1 from ${condition}`)).length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

if (postgresVersion >= 15) {
  test('trap: a partition that comes after the lock of a copy and before its snapshot could be emptied under it', async () => {
    const scene = await partitionScene(server, {}, `insert into $ values (1, 'a')`)
    const { name, source, table } = scene
    await scene.sql(
      `create table $_3 (t text, id int primary key); insert into $_3 values ('b', 201)`,
    )
    const blocker = await server.connect()
    await blocker.query(`begin; lock table ${name}_2 in access exclusive mode`)
    const begun = source.beginSnapshot(table, { delivered: [] })
    await waitFor(`pg_locks where relation = '${name}_2'::regclass and not granted`)
    await scene.sql('alter table $ attach partition $_3 for values from (200) to (300)')
    await blocker.query('commit')
    await blocker.end()
    const snapshot = await begun
    const locked = await server.sql(
      `select 1 from pg_locks where relation = '${name}_3'::regclass and mode = 'AccessShareLock'`,
    )
    expect(locked.length).toBeGreaterThan(0)
    await snapshot.close()
    await scene.end()
  })
}

// DETACH CONCURRENTLY came with version 14.
test.runIf(postgresVersion >= 14)(
  'trap: a partition that is being detached concurrently has no rows of the table any more',
  async () => {
    const scene = await partitionScene(server, {}, `insert into $ values (1, 'a'), (101, 'b')`)
    const running = stream(scene)
    const [reader, detacher] = [await server.connect(), await server.connect()]
    await reader.query(`begin isolation level repeatable read; select from ${scene.name}`)
    const detached = detacher.query(
      `alter table ${scene.name} detach partition ${scene.name}_2 concurrently`,
    )
    // It waits for the reader, who still sees the rows; nobody who comes now does.
    await waitFor('pg_inherits where inhdetachpending')
    await running.until(() => running.sink.gaps.length > 0)
    // The session of an older server is to begin anew first.
    if (postgresVersion >= 15) expect(await copyOf(scene)).toEqual(['1 a'])
    await reader.query('commit')
    await detached
    await Promise.all([reader.end(), detacher.end()])
    await running.stop()
    await scene.end()
  },
)

/** Rows of a new partition are counted while the stream goes on. */
import { expect, test } from 'vitest'
import { serverForTests } from '../../../test/support/server-for-tests.ts'
import { eventsOf, partitionScene, settled, stream } from './testing/partition-fixture.ts'

const server = serverForTests({ settings: { autovacuum: 'off' } })

test('trap: no row waits until a new partition is counted, and none that came meanwhile is lost to the sum', async () => {
  // Only a row of it lets the partition be found.
  const scene = await partitionScene(server, { watchIntervalMs: 3_600_000 })
  const { source, table, state, sql } = scene
  await sql('create table $_3 partition of $ for values from (200) to (300)')
  await sql(`insert into $ values (201, 'a'), (202, 'b')`)
  const holder = await server.connect()
  await holder.query(`begin; lock table ${scene.name}_3`)
  const running = stream(scene)
  await sql(`insert into $ values (1, 'c')`)
  expect(await eventsOf(scene, running)).toEqual(['i 201 a', 'i 202 b', 'i 1 c'])
  const waits = `select from pg_locks where relation = '${scene.name}_3'::regclass and not granted`
  expect(await server.sql(waits)).toHaveLength(1)
  await holder.query(`delete from ${scene.name}_3 where id = 202; commit`)
  await holder.end()
  await settled(scene, running)
  expect(await eventsOf(scene, running)).toEqual(['i 201 a', 'i 202 b', 'i 1 c', 'd 202 -'])
  await running.stop()
  const position = await source.currentPosition()
  const incarnation = source.remember?.(state.incarnation) ?? state.incarnation
  const next = stream(scene, await source.prepare([table], { incarnation, position }))
  await sql(`insert into $ values (203, 'd')`)
  expect(await eventsOf(scene, next)).toEqual(['i 203 d'])
  expect([...running.sink.gaps, ...next.sink.gaps]).toEqual([])
  await next.stop()
  await scene.end()
})

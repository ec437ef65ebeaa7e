/** A cell that comes spoilt over the network: its table stops, the others go on, and it comes back. */
import { expect, test } from 'vitest'
import { startProxy } from '../../src/source/postgres/testing/proxy.ts'
import { DdlWorld } from '../support/ddl-world.ts'

test('a table whose cell can not be read is left out until it can', async () => {
  const server = await DdlWorld.server()
  let isSpoilt = false
  const proxy = await startProxy(server, {
    answer: (bytes, send) => {
      const at = isSpoilt ? bytes.indexOf('7654321') : -1
      if (at >= 0) bytes.write('76x4321', at)
      send(bytes)
    },
  })
  const world = await DdlWorld.open({ ...server, port: proxy.port })
  await world.follow('t', 'u')
  isSpoilt = true
  await world.sql(`BEGIN; INSERT INTO u VALUES (3, 'u3'); INSERT INTO t VALUES (3, 't3', 'b', 7654321);
    INSERT INTO u VALUES (4, 'u4'); COMMIT; INSERT INTO u VALUES (5, 'u5')`)
  const { failedTables } = await world.stage()
  expect(failedTables).toMatchObject([
    { name: { table: 't' }, problem: { code: 'SOURCE_VALUE_MALFORMED' } },
  ])
  await world.apply()
  await world.expectEqual('u')
  expect((await world.destination('t'))?.rows).toHaveLength(2)
  isSpoilt = false
  const result = await world.sync()
  expect(result.failedTables).toEqual([])
  await world.expectEqual('t', 'u')
  await world.close()
  await proxy.close()
  await server.stop()
})

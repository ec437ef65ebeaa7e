import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'

test('once: copies what is there, reads what follows, and all of it is exact', async () => {
  const world = new GatewayWorld([fakeTable('1'), fakeTable('2')])
  for (let n = 0; n < 5; n++) {
    world.database.commit(world.database.randomChanges(world.random, 6))
  }
  const first = await world.process({ mode: 'once' })
  expect(first).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  expect(world.loadable()).toEqual(['1', '2'])
  for (let n = 0; n < 5; n++) {
    world.database.commit(world.database.randomChanges(world.random, 6))
  }
  const second = await world.process({ mode: 'once' })
  expect(second.source.copies).toEqual([])
  expect(world.disk.manifests.at(-1)?.position_after).toBe('10')
  expect(second.source.acknowledged).toBe(10)
  world.assertExact()
})

import { expect, test } from 'vitest'
import { type Change, fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'

function insert(id: number): Change {
  return { op: 'i', table: fakeTable('1'), row: { id, a: 'x', b: 'y' } }
}

test('a stream that ends unasked has broken: a continuous run reads on', async () => {
  const world = new GatewayWorld([fakeTable('1')])
  world.database.commit([insert(1)])
  let streamed = 0
  const end = await world.process({
    mode: 'continuous',
    source: { endsAlone: true },
    atStep({ name, stop }) {
      if (name !== 'stream') return
      streamed++
      if (streamed === 5) world.database.commit([insert(2)])
      if (streamed === 20) stop()
    },
  })
  expect(end.kind).toBe('resolved')
  expect(streamed).toBe(20)
  expect(world.disk.manifests.at(-1)?.position_after).toBe('2')
  world.assertExact()
})

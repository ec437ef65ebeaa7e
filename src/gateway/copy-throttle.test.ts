import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { FakeTime } from '../../test/support/gateway/fake-time.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'
import { CopyThrottle } from './copy-throttle.ts'

test('several readers together stay below the rate, after a short burst', () => {
  const time = new FakeTime()
  const throttle = new CopyThrottle(1000, time)
  expect(throttle.take(100)).toBe(0)
  expect(throttle.take(50)).toBe(50)
  expect(throttle.take(1000)).toBe(1050)
  time.advance(1050)
  // Nothing is saved up beyond the burst.
  time.advance(60_000)
  expect(throttle.take(200)).toBe(100)
})

test('without a rate nobody waits', () => {
  const throttle = new CopyThrottle(0, new FakeTime())
  expect(throttle.take(2 ** 40)).toBe(0)
})

test('a throttled copy takes its time, is exact, and stops at once when it is asked to', async () => {
  const world = new GatewayWorld([fakeTable('1')])
  const table = fakeTable('1')
  for (let id = 0; id < 40; id++) {
    world.database.commit([{ op: 'i', table, row: { id, a: 'x'.repeat(100), b: null } }])
  }
  const settings = { snapshotBytesPerSecond: 100 }
  const beganMs = world.time.elapsedMs()
  await world.process({ mode: 'once', settings })
  expect(world.time.elapsedMs() - beganMs).toBeGreaterThan(30_000)
  world.assertExact()
  let rows = 0
  const stopped = await world.process({
    mode: 'continuous',
    settings: { snapshotBytesPerSecond: 1 },
    refresh: 'all',
    atStep({ name, stop }) {
      if (name === 'chunk row' && ++rows === 3) stop()
    },
  })
  expect(stopped.kind).toBe('resolved')
})

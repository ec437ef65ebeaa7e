import { expect, test } from 'vitest'
import { gatewayEvents, gatewayStates, gatewayTransitions } from './gateway-state.ts'

test('the transition table: what each state meets and where it leads', () => {
  const table = Object.fromEntries(
    gatewayStates.map((state) => [
      state,
      gatewayEvents
        .map((event) => [event, gatewayTransitions[state][event]] as const)
        .filter(([, next]) => next !== undefined)
        .map(([event, next]) => `${event} → ${next}`),
    ]),
  )
  const working = [
    'start → starting',
    'ready → running',
    'error → backing-off',
    'stop → stopping',
    'give-up → failed',
  ]
  expect(table).toEqual({
    idle: ['start → starting', 'stop → stopping', 'give-up → failed'],
    starting: working,
    running: working,
    'backing-off': working.filter((line) => !line.startsWith('ready')),
    stopping: ['error → backing-off', 'stop → stopping', 'done → stopped', 'give-up → failed'],
    stopped: ['start → starting', 'stop → stopping'],
    failed: ['start → starting', 'stop → stopping'],
  })
})

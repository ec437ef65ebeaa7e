import { expect, test } from 'vitest'
import { FakeTime } from '../../test/support/gateway/fake-time.ts'
import { SluiceError } from '../base/errors.ts'
import { supervise, type SuperviseOptions } from './supervisor.ts'

function optionsOf(more: Partial<SuperviseOptions> = {}): SuperviseOptions & { delays: number[] } {
  const delays: number[] = []
  return {
    delays,
    progressed: () => 0,
    backoff: { firstMs: 100, capMs: 1000 },
    maxFailures: 4,
    timers: new FakeTime(),
    random: () => 1,
    signal: new AbortController().signal,
    onBackoff: (_error, delayMs) => delays.push(delayMs),
    ...more,
  }
}

const passing = new SluiceError('INTERNAL_ERROR', 'connection reset')

test('supervise() tries again with growing pauses and gives up with the last error', async () => {
  const options = optionsOf()
  await expect(supervise(() => Promise.reject(passing), options)).rejects.toBe(passing)
  expect(options.delays).toEqual([100, 200, 400])
})

test('progress between failures begins the pauses anew', async () => {
  let calls = 0
  const options = optionsOf({ progressed: () => Math.floor(calls / 3) })
  const attempt = async (): Promise<'done'> => {
    if (++calls < 9) throw passing
    return 'done'
  }
  await supervise(attempt, options)
  expect(options.delays).toEqual([100, 200, 100, 200, 400, 100, 200, 400])
})

test('an error that waits for a person is thrown at once', async () => {
  const error = new SluiceError('GATEWAY_CHECK_FAILED', 'wal_level')
  const options = optionsOf()
  await expect(supervise(() => Promise.reject(error), options)).rejects.toBe(error)
  expect(options.delays).toEqual([])
})

test('a stop ends the pause, and failures after it are no failures', async () => {
  const stop = new AbortController()
  const options = optionsOf({
    signal: stop.signal,
    timers: { after: () => () => undefined },
    onBackoff: () => queueMicrotask(() => stop.abort()),
  })
  await supervise(() => Promise.reject(passing), options)
  expect(stop.signal.aborted).toBe(true)
})

import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { systemClock } from '../../base/clock.ts'
import { silentLog } from '../../observe/log.ts'
import type { Control } from './control.ts'
import { Heartbeat } from './heartbeat.ts'
import { parseLsn } from './lsn.ts'

test('a mark that the stream brings before its statement is answered does not wait for the next one', async () => {
  let answer: (lsn: string) => void = () => undefined
  const control: Control = {
    query: async () => {
      const lsn = await new Promise<string>((resolve) => (answer = resolve))
      return [{ lsn }]
    },
    close: async () => undefined,
  }
  const heartbeat = new Heartbeat({ control, clock: systemClock, log: silentLog, intervalMs: 1 })
  const stop = heartbeat.start({ version: 180000, isStandby: false })
  await new Promise((resolve) => setTimeout(resolve, 20))
  stop()
  heartbeat.passed(parseLsn('0/1000'))
  answer('0/1000')
  await turn()
  const first = heartbeat.roundTripMs
  expect(first).toBeGreaterThan(0)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(heartbeat.roundTripMs).toBe(first)
})

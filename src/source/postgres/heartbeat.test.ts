import { setImmediate as turn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { silentLog } from '../../observe/log.ts'
import type { Control } from './control.ts'
import { Heartbeat } from './heartbeat.ts'
import { parseLsn } from './lsn.ts'

test('a mark that the stream brings before its statement is answered does not wait for the next one', async () => {
  let answer: (lsn: string) => void = () => undefined
  const answered = new Promise<string>((resolve) => (answer = resolve))
  let ask: () => void = () => undefined
  const asked = new Promise<void>((resolve) => (ask = resolve))
  const control: Control = {
    query: async () => {
      ask()
      return [{ lsn: await answered }]
    },
    close: async () => undefined,
  }
  let elapsedMs = 0
  const clock = { nowMs: () => 0, elapsedMs: () => elapsedMs }
  const heartbeat = new Heartbeat({ control, clock, log: silentLog, intervalMs: 1 })
  const stop = heartbeat.start({ version: 180000, isStandby: false })
  await asked
  stop()
  elapsedMs = 5
  heartbeat.passed(parseLsn('0/1000'))
  answer('0/1000')
  await turn()
  expect(heartbeat.roundTripMs).toBe(5)
  elapsedMs = 15_000
  expect(heartbeat.roundTripMs).toBe(5)
})

import { expect, test } from 'vitest'
import { FakeTime } from '../../test/support/gateway/fake-time.ts'
import { createLog } from '../observe/log.ts'
import type { SourceHealth } from '../source/source.ts'
import { HealthWatch } from './health-watch.ts'

/** What is said while the source tells one of these after the other, ten seconds apart. */
async function said(samples: readonly SourceHealth[]): Promise<readonly string[]> {
  const time = new FakeTime()
  const stop = new AbortController()
  const lines: string[] = []
  let at = 0
  const watch = new HealthWatch({
    source: {
      health: async () => {
        const sample = samples[at++]
        if (at >= samples.length) stop.abort()
        return await Promise.resolve(sample ?? Promise.reject(new Error('no more')))
      },
    },
    clock: time,
    timers: time,
    log: createLog((level, message) => void lines.push(`${level} ${message}`), 'warn'),
    intervalMs: 10_000,
  })
  await watch.run(stop.signal)
  return lines
}

const sample = (retainedBytes: bigint, budgetBytes: bigint | undefined): SourceHealth => ({
  retainedBytes,
  budgetBytes,
  lagBytes: 0n,
})

test('trap: log that is soon lost is told of before it is', async () => {
  const warning = 'warn the source will soon drop log that is not staged yet'
  // 1,000 bytes in ten seconds: an hour is 360,000 bytes.
  expect(await said([sample(0n, 500_000n), sample(1_000n, 361_000n)])).toEqual([])
  expect(await said([sample(0n, 500_000n), sample(1_000n, 359_000n)])).toEqual([warning])
  expect(await said([sample(9n, 0n)])).toEqual([warning])
  expect(await said([sample(0n, undefined), sample(1_000_000n, undefined)])).toEqual([])
})

test('trap: a slot that sends nothing, or is lost, is told of once', async () => {
  const stall = (message: string) => ({ code: 'SOURCE_LOG_LOST', message, remedy: 'mend' }) as const
  const one = { ...sample(0n, undefined), stall: stall('nothing comes') }
  const other = { ...sample(0n, undefined), stall: stall('it is gone') }
  const lines = await said([one, one, other])
  expect(lines).toEqual(['warn nothing comes', 'warn it is gone'])
})

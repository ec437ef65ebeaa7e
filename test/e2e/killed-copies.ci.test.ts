import { expect, test } from 'vitest'
import { createRandom } from '../support/random.ts'
import { countOf, killedCopies, partsRead } from './killed-copies.ts'

test('one copy that is killed at every step of it, many times, equals the source', async () => {
  const seed = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  console.info(`seed ${seed}`)
  const random = createRandom(seed)
  const settings = {
    'sluice.snapshot.chunkBytes': '8KiB',
    'sluice.snapshot.maxBytesPerSecond': '2MB',
    'sluice.snapshot.maxAge': '1s',
    'sluice.snapshot.workers': '3',
  }
  const kills = Array.from({ length: 14 }, (_, life) => {
    if (life % 4 === 1) return `gateway.snapshot-started:${life === 1 ? 1 : 2}`
    if (life % 4 === 3) return `staging.manifest-published:${random.int(6, 20)}`
    return `gateway.snapshot-chunk-staged:${random.int(8, 24)}`
  })
  const { transactions, before, after } = await killedCopies({
    seed,
    rows: 12_000,
    kills,
    settings,
    lastSettings: settings,
  })
  expect(transactions).toBeGreaterThan(1000)
  expect(countOf(before, 'snapshot_chunk')).toBeGreaterThan(20)
  expect(countOf(after, 'snapshot_resumed')).toBeGreaterThan(8)
  const parts = partsRead(
    after.slice(after.findLastIndex(({ kind }) => kind === 'snapshot_started')),
  )
  expect(new Set(parts).size).toBe(parts.length)
})

import { expect, test } from 'vitest'
import { countOf, killedCopies, partsRead } from './killed-copies.ts'

test('a copy that is killed, and whose snapshots grow old, equals the source and reads no part twice', async () => {
  const seed = Number(process.env['SLUICE_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  console.info(`seed ${seed}`)
  const settings = {
    'sluice.snapshot.chunkBytes': '8KiB',
    'sluice.snapshot.maxBytesPerSecond': '600kB',
    'sluice.snapshot.maxAge': '1s',
  }
  const { transactions, before, after } = await killedCopies({
    seed,
    rows: 3000,
    kills: ['gateway.snapshot-chunk-staged:18', 'gateway.snapshot-chunk-staged:12'],
    settings,
    lastSettings: { ...settings, 'sluice.snapshot.maxBytesPerSecond': 'off' },
  })
  expect(transactions).toBeGreaterThan(100)
  expect(countOf(before, 'snapshot_chunk')).toBeGreaterThan(5)
  // A begin may come to nothing before a chunk is read; what was read is never given up.
  const begun = after.findLastIndex(({ kind }) => kind === 'snapshot_started')
  expect(begun).toBeLessThan(after.findIndex(({ kind }) => kind === 'snapshot_chunk'))
  expect(countOf(after, 'snapshot_resumed')).toBeGreaterThanOrEqual(2)
  const parts = partsRead(after)
  expect(new Set(parts).size).toBe(parts.length)
})

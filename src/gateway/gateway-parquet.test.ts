/** The gateway over the real staging log: what it stages is read back from Parquet by another reader. */
import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'
import type { StagedRow, StagedVolume } from '../../test/support/gateway/staged-tables.ts'
import { readByHyparquet } from '../../test/support/read-parquet.ts'
import type { Failpoints } from '../base/failpoint.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import { silentLog } from '../observe/log.ts'
import { readLog } from '../../test/support/read-log.ts'
import { openStagingLog, type StagingLog } from '../staging/staging-log.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

async function readVolume(storage: ObjectStorage): Promise<StagedVolume> {
  const rows = new Map<string, StagedRow[]>()
  for await (const { path } of storage.list('tables/')) {
    const bytes = await storage.read(path)
    if (bytes === undefined || !path.endsWith('.parquet')) continue
    const columns = Object.entries(await readByHyparquet(bytes))
    const count = columns[0]?.[1].length ?? 0
    const row = (at: number): StagedRow =>
      Object.fromEntries(columns.map(([name, cells]) => [name, cells[at]])) as StagedRow
    rows.set(
      path,
      Array.from({ length: count }, (_, at) => row(at)),
    )
  }
  const { manifests } = await readLog(storage)
  return { manifests, rowsOf: (path) => rows.get(path) ?? [] }
}

test('staged Parquet, read back, is the source, whatever step a process died at', async () => {
  const storage = createMemoryStorage()
  const world = new GatewayWorld([fakeTable('1'), fakeTable('2')], 2)
  let writer = 0
  const openStaging = (failpoints: Failpoints): Promise<StagingLog> =>
    openStagingLog({
      storage,
      writer: `writer ${writer++}`,
      createEncoder: createParquetEncoder,
      clock: world.time,
      log: silentLog,
      failpoints,
    })
  let left = 60
  world.writers = () => {
    if (left-- > 0)
      world.database.commit(world.database.randomChanges(world.random, 5), left % 3 > 0)
  }
  for (const diesAt of [9, 31, 54, 77]) {
    await world.process({ mode: 'once', diesAt, openStaging }).catch(() => undefined)
  }
  const settings = { bufferBytes: 2_000, commitBytes: 1_500 }
  const end = await world.process({ mode: 'once', openStaging, settings })
  expect(end).toMatchObject({ kind: 'resolved', result: { failedTables: [] } })
  await openStaging({ hit: () => undefined })
  const volume = await readVolume(storage)
  expect(volume.manifests.at(-1)?.position_after).toBe(String(world.database.log.length))
  for (const at of volume.manifests.keys()) {
    if (volume.manifests[at]?.position_after !== '') world.assertSame(volume, at)
  }
  const entries = volume.manifests.flatMap((manifest) => manifest.entries)
  expect(entries.some((entry) => entry.kind === 'changes' && entry.has_absent)).toBe(true)
  expect(entries.filter(({ kind }) => kind === 'snapshot_finished')).toHaveLength(2)
})

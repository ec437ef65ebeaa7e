import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { GatewayWorld } from '../../test/support/gateway/gateway-world.ts'
import { openMemoryStaging } from '../../test/support/gateway/memory-staging.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { Int32Builder } from '../columnar/column-builder.ts'
import type { StagedFileWriter, StagingLog } from '../staging/staging-log.ts'
import { ChunkFiles } from './chunk-files.ts'

/** Lets every microtask and immediate that is due run. */
const settle = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

test('a chunk says that it is nearly written while its last rows still are', async () => {
  const writes: { readonly batch: ColumnBatch; readonly done: () => void }[] = []
  const files = new ChunkFiles({
    staging: {
      openDataFile: async (path) => ({
        path,
        write: async (batch) => {
          await new Promise<void>((done) => writes.push({ batch, done }))
          return 0
        },
        close: async () => ({ path, rows: 0, bytes: 0, crc32: 0 }),
        abort: async () => undefined,
      }),
    },
    schema: {
      columns: [{ name: 'id', type: { kind: 'int32' }, sourceType: 'integer', nullable: false }],
      key: ['id'],
    },
    bufferBytes: 300,
    fileBytes: 2 ** 20,
    nextPath: () => 'a file',
    onProgress: () => undefined,
  })
  const [id] = files.columns
  for (let row = 0; row < 15; row++) {
    files.startRow()
    ;(id as Int32Builder).append(row)
    files.endRow()
  }
  let isNearlyWritten = false
  const finished = files.finish(() => (isNearlyWritten = true))
  await settle()
  expect(writes.map(({ batch }) => batch.rowCount)).toEqual([12])
  expect(isNearlyWritten).toBe(false)
  writes[0]?.done()
  await settle()
  expect(writes.map(({ batch }) => batch.rowCount)).toEqual([12, 3])
  expect(isNearlyWritten).toBe(true)
  writes[1]?.done()
  expect(await finished).toHaveLength(1)
})

test('one worker reads the next chunk while a chunk is made durable, and stages them in order', async () => {
  const world = new GatewayWorld([fakeTable('1')])
  for (let n = 0; n < 5; n++) world.database.commit(world.database.randomChanges(world.random, 20))
  const steps: string[] = []
  let closes = 0
  /** The first file is durable only when another chunk is read to its end, which may never be. */
  const isNextRead = async (): Promise<void> => {
    for (let turn = 0; turn < 1000 && closes < 2; turn++) await settle()
  }
  const openStaging = async (): Promise<StagingLog> => {
    const staging = openMemoryStaging({ disk: world.disk, nowMs: () => world.time.nowMs() })
    const openDataFile: StagingLog['openDataFile'] = async (path, columns) => {
      const writer = await staging.openDataFile(path, columns)
      const close: StagedFileWriter['close'] = async () => {
        steps.push('close')
        if (closes++ === 0) await isNextRead()
        steps.push('durable')
        return await writer.close()
      }
      return { ...writer, close }
    }
    return Object.assign(Object.create(staging) as StagingLog, { openDataFile })
  }
  await world.process({
    mode: 'once',
    openStaging,
    settings: { snapshotWorkers: 1, chunkIntervalMs: 0 },
    source: { chunks: 3 },
    atStep: ({ name }) => void steps.push(name),
  })
  expect(steps.filter((step) => step === 'close' || step === 'durable').slice(0, 3)).toEqual([
    'close',
    'close',
    'durable',
  ])
  const ranges = world.disk.manifests.flatMap(({ entries }) =>
    entries.flatMap((entry) =>
      entry.kind === 'snapshot_chunk' ? [entry.range?.split(':')[1]] : [],
    ),
  )
  expect(ranges).toEqual(['0-4', '4-8', '8-12'])
  world.assertExact()
})

/** Cells that do not fit, from a builder into staged files, read back by another reader. */
import { expect, test } from 'vitest'
import { readByHyparquet } from '../../test/support/read-parquet.ts'
import { openTestLog, tableId } from '../../test/support/staging-fixtures.ts'
import { schemaOf } from '../../test/support/staged-source.ts'
import { BytesBuilder, Int32Builder } from '../columnar/column-builder.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import type { ChangeOp, RowTarget } from '../source/change-sink.ts'
import type { StagedFile } from '../staging/manifest.ts'
import { snapshotFilePath } from '../staging/layout.ts'
import { createMemoryStorage } from '../storage/memory-storage.ts'
import { ChangeFiles, FileNumbers } from './change-files.ts'
import { ChangeRows, type TransactionCursor } from './change-rows.ts'
import { ChunkFiles } from './chunk-files.ts'

const schema = schemaOf(
  { day: { kind: 'date' }, body: { kind: 'string' }, until: { kind: 'date' } },
  ['day'],
)

/** A number is days, a text does not fit; `undefined`: absent. */
type Day = number | string | undefined

function addRow(rows: RowTarget, op: ChangeOp, [day, until]: readonly [Day, Day]): void {
  rows.startRow(op)
  for (const [at, cell] of [day, 'x', until].entries()) {
    const builder = rows.columns[at]
    if (builder instanceof BytesBuilder) builder.appendText('x')
    else if (typeof cell === 'string') {
      const bytes = Buffer.from(`..${cell}..`)
      builder?.appendUnfit(new DataView(bytes.buffer, bytes.byteOffset), 2, bytes.length - 2)
    } else if (builder instanceof Int32Builder && cell !== undefined) builder.append(cell)
    else builder?.appendAbsent()
  }
  rows.endRow()
}

const storage = createMemoryStorage()
const openLog = () => openTestLog(storage, { createEncoder: createParquetEncoder })

async function unfitOf({ path }: StagedFile): Promise<readonly unknown[] | undefined> {
  const bytes = await storage.read(path)
  return bytes === undefined ? undefined : (await readByHyparquet(bytes))['_unfit']
}

test('a snapshot file has _unfit only when some of its rows need it, and counts those cells', async () => {
  const staging = await openLog()
  let number = 0
  const files = new ChunkFiles({
    staging,
    schema,
    bufferBytes: 3000,
    fileBytes: 2 ** 20,
    nextPath: () =>
      snapshotFilePath({ tableId: tableId('1'), snapshotId: 0, chunk: number++, epoch: 1 }),
    onProgress: () => undefined,
  })
  for (let row = 0; row < 50; row++) addRow(files, 'r', [row, 2])
  await files.pressure()
  for (let row = 50; row < 100; row++) addRow(files, 'r', [row, row === 60 ? 'infinity' : 2])
  addRow(files, 'r', ['-infinity', '10000-01-01'])
  for (let row = 100; row < 200; row++) addRow(files, 'r', [row, 2])
  const [plain, marked, ...more] = await files.finish()
  expect(more).toEqual([])
  expect(plain).not.toHaveProperty('unfit_cells')
  expect(marked?.unfit_cells).toBe(3)
  expect((plain?.rows ?? 0) + (marked?.rows ?? 0)).toBe(201)
  expect(plain && (await unfitOf(plain))).toBeUndefined()
  const unfit = (marked && (await unfitOf(marked))) ?? []
  expect(unfit).toHaveLength(marked?.rows ?? 0)
  expect(unfit.filter((cells) => cells !== null)).toEqual([
    ['2:infinity'],
    ['0:-infinity', '2:10000-01-01'],
  ])
})

test('a change file has _absent and _unfit side by side, whichever came first', async () => {
  const staging = await openLog()
  const cursor: TransactionCursor = {
    sequence: 1n,
    sequenceLow: 1,
    sequenceHigh: 0,
    timeLow: 0,
    timeHigh: 0,
    ordinal: 0,
    openBytes: 0,
    fullBytes: Infinity,
    onFull: () => undefined,
  }
  const rows = new ChangeRows(schema, cursor)
  const files = new ChangeFiles({ staging, numbers: new FileNumbers(), fileBytes: 2 ** 20 })
  const key = { tableId: '1', snapshotId: 0, version: { number: 0 }, resumption: 0, schema }
  rows.openTransaction()
  for (const days of [
    [1, 1],
    [2, 'infinity'],
    [3, undefined],
    ['0044-03-15 BC', undefined],
    [4, 1],
    [5, 'infinity'],
  ] as const) {
    addRow(rows, 'u', days)
    const taken = rows.take()
    if (taken !== undefined) await files.append(key, taken)
  }
  expect(cursor.openBytes).toBe(0)
  const entries = await files.finish()
  expect(entries.map(({ file, has_absent }) => [file.rows, has_absent, file.unfit_cells])).toEqual([
    [1, false, undefined],
    [1, false, 1],
    [4, true, 2],
  ])
  const last = await storage.read(entries[2]?.file.path ?? '')
  const columns = last === undefined ? {} : await readByHyparquet(last)
  expect(Object.keys(columns).slice(-2)).toEqual(['_absent', '_unfit'])
  expect(columns['_absent']).toEqual([[2], [2], null, null])
  expect(columns['_unfit']).toEqual([null, ['0:0044-03-15 BC'], null, ['2:infinity']])
  expect(columns['until']).toEqual([null, null, expect.anything(), null])
})

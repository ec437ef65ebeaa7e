/** Data files as a gateway writes them, read by an engine that knows nothing of us. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, expect, test } from 'vitest'
import { changesEntry, draftOf, openTestLog } from '../../test/support/staging-fixtures.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import {
  ArrayBuilder,
  BytesBuilder,
  type ColumnBuilder,
  createColumnBuilder,
  finishBatch,
  Int32Builder,
  Int64Builder,
} from '../columnar/column-builder.ts'
import { createParquetEncoder } from '../columnar/parquet/create-encoder.ts'
import { createLocalStorage } from '../storage/local-storage.ts'
import { changeFilePath, snapshotFilePath } from './layout.ts'
import { readLog } from '../../test/support/read-log.ts'
import { filesOf } from './orphans.ts'
import { verifyStagedFile } from './verify-staged-file.ts'

const folder = await mkdtemp(join(tmpdir(), 'sluice-data-file-'))
afterAll(() => rm(folder, { recursive: true, force: true }))

const absent: CanonicalType = { kind: 'array', element: { kind: 'int32' } }
const columns: readonly { readonly name: string; readonly type: CanonicalType }[] = [
  { name: 'id', type: { kind: 'int64' } },
  { name: 'note', type: { kind: 'string' } },
  { name: '_op', type: { kind: 'string' } },
  { name: '_seq', type: { kind: 'int64' } },
  { name: '_ord', type: { kind: 'int32' } },
  { name: '_commit_ts', type: { kind: 'timestamp' } },
  { name: '_absent', type: absent },
]

interface Change {
  readonly id: bigint
  readonly note: string | null | undefined
  readonly op: string
  readonly seq: bigint
  readonly ord: number
}

const changes: readonly Change[] = [
  { id: 1n, note: "o'neill \u0000 😀", op: 'i', seq: 7n, ord: 0 },
  { id: 1n, note: undefined, op: 'u', seq: 7n, ord: 1 },
  { id: -9_223_372_036_854_775_808n, note: null, op: 'u', seq: 8n, ord: 0 },
  { id: 9_223_372_036_854_775_807n, note: '', op: 'd', seq: 9_007_199_254_740_993n, ord: 0 },
]

function text(builder: ColumnBuilder | undefined, value: string | null | undefined): void {
  if (value === undefined) builder?.appendAbsent()
  else if (value === null) builder?.appendNull()
  else if (builder instanceof BytesBuilder) builder.appendText(value)
}

function batchOf(rows: readonly Change[]): ColumnBatch {
  const builders = columns.map(({ name, type }) => createColumnBuilder(name, type))
  const [id, note, op, seq, ord, time, absentOrdinals] = builders
  for (const row of rows) {
    if (id instanceof Int64Builder) id.appendBigInt(row.id)
    text(note, row.note)
    text(op, row.op)
    if (seq instanceof Int64Builder) seq.appendBigInt(row.seq)
    if (ord instanceof Int32Builder) ord.append(row.ord)
    if (time instanceof Int64Builder) time.appendBigInt(1_700_000_000_123_456n)
    if (row.note !== undefined) absentOrdinals?.appendNull()
    else if (absentOrdinals instanceof ArrayBuilder) {
      if (absentOrdinals.elements instanceof Int32Builder) absentOrdinals.elements.append(1)
      absentOrdinals.endArray(1)
    }
  }
  return finishBatch(builders)
}

async function query(sql: string): Promise<unknown[]> {
  const instance = await DuckDBInstance.create(':memory:')
  try {
    const connection = await instance.connect()
    await connection.run("SET TimeZone = 'UTC'")
    return (await connection.runAndReadAll(sql)).getRowObjectsJson()
  } finally {
    instance.closeSync()
  }
}

test('a change file reads back through DuckDB, row group by row group', async () => {
  const storage = createLocalStorage(join(folder, 'changes'))
  const log = await openTestLog(storage, { createEncoder: createParquetEncoder })
  const path = changeFilePath({ tableId: '7', firstSequence: 7n, epoch: log.epoch, number: 0 })
  const writer = await log.openDataFile(path, columns)
  const first = await writer.write(batchOf(changes.slice(0, 2)))
  expect(await writer.write(batchOf(changes.slice(2)))).toBeGreaterThan(first)
  const file = await writer.close()
  await log.publish(draftOf([changesEntry('7', 7, file)]))

  const manifests = (await readLog(storage)).manifests
  const [staged] = manifests.flatMap(filesOf)
  expect(staged).toEqual(file)
  await verifyStagedFile(storage, file)
  expect(staged).toMatchObject({ path, rows: 4 })
  const source = `read_parquet('${storage.localPath(path)}')`
  const rows = await query(
    `SELECT id, note, _op, _seq, _ord, strftime(_commit_ts, '%Y-%m-%d %H:%M:%S.%f') AS t, _absent
     FROM ${source} ORDER BY _seq, _ord`,
  )
  const time = '2023-11-14 22:13:20.123456'
  expect(rows).toEqual(
    changes.map((change) => ({
      id: String(change.id),
      note: change.note ?? null,
      _op: change.op,
      _seq: String(change.seq),
      _ord: change.ord,
      t: time,
      _absent: change.note === undefined ? [1] : null,
    })),
  )
  expect(
    await query(
      `SELECT count(DISTINCT row_group_id) AS n FROM parquet_metadata('${storage.localPath(path)}')`,
    ),
  ).toEqual([{ n: '2' }])
})

test('a snapshot file comes with statistics of the table alone', async () => {
  const storage = createLocalStorage(join(folder, 'snapshot'))
  const log = await openTestLog(storage, { createEncoder: createParquetEncoder })
  const path = snapshotFilePath({ tableId: '7', snapshotId: 0, chunk: 0, epoch: log.epoch })
  const writer = await log.openDataFile(path, columns.slice(0, 2))
  const all = batchOf(changes)
  await writer.write({ ...all, columns: all.columns.slice(0, 2) })
  const file = await writer.close()
  await verifyStagedFile(storage, file)
  const found = file.statistics?.columns ?? []
  expect(found.map(({ name, nullCount }) => [name, nullCount])).toEqual([
    ['id', 0],
    ['note', 2],
  ])
  expect(found[0]).toMatchObject({ min: '-9223372036854775808', max: '9223372036854775807' })
})

test('a snapshot file without a row is a file too', async () => {
  const storage = createLocalStorage(join(folder, 'empty'))
  const log = await openTestLog(storage, { createEncoder: createParquetEncoder })
  const path = snapshotFilePath({ tableId: '7', snapshotId: 0, chunk: 0, epoch: log.epoch })
  const writer = await log.openDataFile(path, columns.slice(0, 2))
  const file = await writer.close()
  expect(file.rows).toBe(0)
  await verifyStagedFile(storage, file)
  const described = await query(`DESCRIBE SELECT * FROM read_parquet('${storage.localPath(path)}')`)
  expect(described).toMatchObject([
    { column_name: 'id', column_type: 'BIGINT' },
    { column_name: 'note', column_type: 'VARCHAR' },
  ])
})

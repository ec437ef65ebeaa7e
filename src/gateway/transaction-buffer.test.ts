import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { positionOf } from '../../test/support/gateway/fake-source.ts'
import { FakeTime } from '../../test/support/gateway/fake-time.ts'
import { openMemoryStaging, StagingDisk } from '../../test/support/gateway/memory-staging.ts'
import { BytesBuilder, Int32Builder } from '../columnar/column-builder.ts'
import { silentLog } from '../observe/log.ts'
import type { RowTarget } from '../source/change-sink.ts'
import type { Incarnation } from '../source/source.ts'
import type { Manifest } from '../staging/manifest.ts'
import { FileNumbers } from './change-files.ts'
import { DeliveredTransactions } from './delivered-transactions.ts'
import { FollowedTable } from './followed-table.ts'
import { FollowedTables } from './followed-tables.ts'
import type { Publication } from './progress.ts'
import { defaultGatewaySettings, type GatewaySettings } from './settings.ts'
import { StreamGate } from './stream-gate.ts'
import { TransactionBuffer } from './transaction-buffer.ts'

const table = fakeTable('1')

interface Bench {
  readonly buffer: TransactionBuffer
  readonly published: Publication[]
  readonly disk: StagingDisk
  readonly tables: FollowedTables
  readonly gate: StreamGate
  readonly failures: unknown[]
  readonly time: FakeTime
}

function benchOf(
  settings: Partial<GatewaySettings> = {},
  step: (name: string) => Promise<void> = () => new Promise((resolve) => setImmediate(resolve)),
): Bench {
  const published: Publication[] = []
  const failures: unknown[] = []
  const disk = new StagingDisk()
  const time = new FakeTime()
  const tables = new FollowedTables({ log: silentLog, announce: () => undefined, told: new Map() })
  const followed = new FollowedTable(table, 'streaming')
  followed.snapshotId = followed.schemaVersion = 0
  tables.add(followed)
  const gate = new StreamGate()
  const buffer = new TransactionBuffer({
    files: { staging: openMemoryStaging({ disk, step }), numbers: new FileNumbers() },
    tables,
    progress: {
      lastSequence: 0n,
      state: { incarnation: 'one' as Incarnation, position: positionOf(0) },
      publish: async (publication) => {
        published.push(publication)
        return {} as Manifest
      },
    },
    gate,
    delivered: new DeliveredTransactions(),
    settings: { ...defaultGatewaySettings, ...settings },
    clock: time,
    timers: time,
    onFailure: (error) => failures.push(error),
  })
  return { buffer, published, disk, tables, gate, failures, time }
}

function addRow(target: RowTarget | undefined, id: number, text: string): void {
  target?.startRow('i')
  for (const builder of target?.columns ?? []) {
    if (builder instanceof Int32Builder) builder.append(id)
    else if (builder instanceof BytesBuilder) builder.appendText(text)
  }
  target?.endRow()
}

function commit(buffer: TransactionBuffer, number: number, rows = 1): void {
  buffer.begin({ tag: number, commitTimeUs: 0n })
  for (let id = 0; id < rows; id++) addRow(buffer.rowsFor(table), id, 'x')
  buffer.commit(positionOf(number))
}

test('one huge transaction stays within the byte budget and is not visible before its commit', async () => {
  const bufferBytes = 20_000
  const { buffer, published, disk } = benchOf({ bufferBytes, fileBytes: 50_000 })
  const text = 'y'.repeat(400)
  buffer.begin({ tag: 1, commitTimeUs: 5n })
  for (let id = 0; id < 2_000; id++) {
    addRow(buffer.rowsFor(table), id, text)
    await buffer.pressure()
  }
  expect(published).toEqual([])
  expect(disk.files.size).toBeGreaterThan(20)
  expect(buffer.peakBytes).toBeLessThan(bufferBytes + 2 * (text.length + 100))
  expect(buffer.peakBytes).toBeGreaterThan(bufferBytes / 4)
  buffer.commit(positionOf(1))
  await buffer.drain()
  const rows = [...disk.files.values()].flat().reduce((sum, batch) => sum + batch.rowCount, 0)
  expect(rows).toBe(2_000)
  expect(published).toMatchObject([
    { position: '1', transactions: { first: 1n, last: 1n, minCommitTimeUs: 5n } },
  ])
})

test('a decoder that never waits gets everything staged all the same', async () => {
  const { buffer, disk } = benchOf({ bufferBytes: 1_000 })
  commit(buffer, 1, 500)
  await buffer.drain()
  const rows = [...disk.files.values()].flat().reduce((sum, batch) => sum + batch.rowCount, 0)
  expect(rows).toBe(500)
})

test('a commit is staged without a further one to push it', async () => {
  const { buffer, published } = benchOf()
  commit(buffer, 1)
  expect(published).toEqual([])
  while (published.length === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(published).toMatchObject([{ position: '1', transactions: { first: 1n, last: 1n } }])
})

test('a wall clock that is set back a day delays nothing', async () => {
  const { buffer, published, time } = benchOf()
  const beganMs = time.elapsedMs()
  commit(buffer, 1)
  time.jump(-86_400_000)
  commit(buffer, 2)
  while (published.length === 0) await new Promise((resolve) => setImmediate(resolve))
  expect(time.elapsedMs() - beganMs).toBeLessThan(5_000)
  expect(published).toMatchObject([{ position: '2' }])
})

test('transactions nobody wants take no sequence', async () => {
  const { buffer, published } = benchOf()
  commit(buffer, 1)
  buffer.begin({ tag: 2, commitTimeUs: 0n })
  expect(buffer.rowsFor(fakeTable('other'))).toBeUndefined()
  buffer.commit(positionOf(2))
  commit(buffer, 3)
  await buffer.drain()
  expect(published.at(-1)).toMatchObject({ position: '3', transactions: { last: 2n } })
})

test('what is left of an incomplete transaction at the end is dropped', async () => {
  const { buffer, published, disk } = benchOf({ bufferBytes: 1_000 })
  buffer.begin({ tag: 1, commitTimeUs: 0n })
  for (let id = 0; id < 100; id++) addRow(buffer.rowsFor(table), id, 'x')
  await buffer.drain({ barrier: true })
  expect(published).toEqual([])
  expect(disk.files.size).toBe(0)
  buffer.begin({ tag: 2, commitTimeUs: 0n })
  expect(buffer.rowsFor(table)).toBeUndefined()
})

test('a new schema tears the table and keeps its rows out', () => {
  const { buffer, tables } = benchOf()
  buffer.begin({ tag: 1, commitTimeUs: 0n })
  expect(buffer.rowsFor(structuredClone(table))).toBeDefined()
  expect(buffer.rowsFor(fakeTable('1', ['a', 'b', 'c']))).toBeUndefined()
  expect(tables.get('1')?.state).toBe('pending')
})

test('trap: the gate holds the stream between two transactions, never inside one', async () => {
  const { buffer, gate } = benchOf()
  buffer.begin({ tag: 1, commitTimeUs: 0n })
  const holding = gate.hold()
  expect(buffer.pressure()).toBeUndefined()
  buffer.commit(positionOf(1))
  const release = await holding
  let isThrough = false
  const pressed = buffer.pressure()?.then(() => (isThrough = true))
  await Promise.resolve()
  expect([pressed === undefined, isThrough]).toEqual([false, false])
  release()
  await pressed
  expect(buffer.pressure()).toBeUndefined()
})

test('a failed write is told once, frees whoever waits, and stages nothing more', async () => {
  const { buffer, published, failures } = benchOf({ bufferBytes: 1_000 }, async (name) => {
    await new Promise((resolve) => setImmediate(resolve))
    if (name === 'write') throw new Error('disk is gone')
  })
  buffer.begin({ tag: 1, commitTimeUs: 0n })
  while (buffer.pressure() === undefined) addRow(buffer.rowsFor(table), 1, 'x'.repeat(50))
  await buffer.pressure()
  buffer.commit(positionOf(1))
  await buffer.drain()
  expect(failures).toMatchObject([{ message: 'disk is gone' }])
  expect(published).toEqual([])
})

import { expect, test } from 'vitest'
import { fakeTable } from '../../test/support/gateway/fake-database.ts'
import { cellsOf } from '../../test/support/gateway/staged-tables.ts'
import { BytesBuilder, Int32Builder } from '../columnar/column-builder.ts'
import type { ChangeOp } from '../source/change-sink.ts'
import { ChangeRows, type TransactionCursor } from './change-rows.ts'
import { highWord, lowWord } from './sequence.ts'

function cursorOf(sequence: bigint, onFull = (): void => undefined): TransactionCursor {
  const time = -1n
  return {
    sequence,
    sequenceLow: lowWord(sequence),
    sequenceHigh: highWord(sequence),
    timeLow: lowWord(time),
    timeHigh: highWord(time),
    ordinal: 0,
    openBytes: 0,
    fullBytes: Infinity,
    onFull,
  }
}

/** `undefined` is an absent cell. */
function addRow(
  rows: ChangeRows,
  op: ChangeOp,
  cells: readonly (string | number | undefined)[],
): void {
  rows.startRow(op)
  for (const [at, cell] of cells.entries()) {
    const builder = rows.columns[at]
    if (cell === undefined) builder?.appendAbsent()
    else if (builder instanceof Int32Builder) builder.append(Number(cell))
    else if (builder instanceof BytesBuilder) builder.appendText(String(cell))
  }
  rows.endRow()
}

function columnsOf(rows: ChangeRows): Record<string, unknown> {
  const columns = rows.take()?.batch.columns ?? []
  return Object.fromEntries(columns.map((column) => [column.name, cellsOf(column)]))
}

test('rows carry their operation, sequence, ordinal and commit time', () => {
  const rows = new ChangeRows(fakeTable('1').schema, cursorOf(2n ** 33n + 5n))
  rows.openTransaction()
  addRow(rows, 'i', [1, 'x', 'y'])
  addRow(rows, 'u', [1, 'x', 'z'])
  expect(columnsOf(rows)).toEqual({
    id: [1, 1],
    a: ['x', 'x'],
    b: ['y', 'z'],
    _op: ['i', 'u'],
    _seq: [8589934597n, 8589934597n],
    _ord: [0, 1],
    _commit_ts: [-1n, -1n],
  })
})

test('_absent names the cells that were not sent, and only then exists', () => {
  const rows = new ChangeRows(fakeTable('1').schema, cursorOf(1n))
  rows.openTransaction()
  addRow(rows, 'i', [1, 'x', 'y'])
  addRow(rows, 'u', [1, 'x', undefined])
  addRow(rows, 'd', [1, undefined, undefined])
  addRow(rows, 'i', [2, undefined, 'y'])
  addRow(rows, 'i', [3, 'x', 'y'])
  expect(columnsOf(rows)['_absent']).toEqual([null, [2], [1, 2], [1], null])
  addRow(rows, 'u', [3, 'x', 'y'])
  expect(columnsOf(rows)).not.toHaveProperty('_absent')
  addRow(rows, 'u', [3, undefined, undefined])
  expect(columnsOf(rows)['_absent']).toEqual([[1, 2]])
})

test('a full cursor is told in the middle of a transaction, and counts fall when rows are taken', () => {
  let told = 0
  const cursor: TransactionCursor = { ...cursorOf(1n, () => told++), fullBytes: 500 }
  const rows = new ChangeRows(fakeTable('1').schema, cursor)
  rows.openTransaction()
  while (told === 0) addRow(rows, 'i', [1, 'x'.repeat(50), 'y'])
  expect(cursor.openBytes).toBeGreaterThanOrEqual(500)
  expect(cursor.openBytes).toBeLessThan(500 + 200)
  rows.take()
  expect(cursor.openBytes).toBe(0)
})

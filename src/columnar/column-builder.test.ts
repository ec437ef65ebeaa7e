/** Builders give back what was appended, however they grew. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { absent, appendCell, batchOf, type Cell } from '../../test/support/cells.ts'
import type { CanonicalType } from './canonical-type.ts'
import { cellState, type Column } from './column-batch.ts'
import {
  BooleanBuilder,
  BytesBuilder,
  createColumnBuilder,
  Decimal128Builder,
  finishBatch,
  Float64Builder,
  Int32Builder,
  Int64Builder,
  type ColumnBuilder,
} from './column-builder.ts'

/** The cells of a column, read from its buffers as `Column` describes them. */
function cellsOf(column: Column): Cell[] {
  const readValue = valueReader(column)
  return Array.from({ length: column.rowCount }, (_, row) => {
    const state = column.states?.[row] ?? cellState.value
    if (state === cellState.null) return null
    return state === cellState.absent ? absent : readValue()
  })
}

function valueReader({ type, values, valueCount, list }: Column): () => Cell {
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength)
  const width = valueCount === 0 ? 0 : values.length / valueCount
  let at = 0
  const next = (size = width): number => (at += size) - size
  if (type.kind === 'array') {
    const elements = list === undefined ? [] : cellsOf(list.elements)
    let row = 0
    return () => elements.slice(at, (at += list?.lengths[row++] ?? 0))
  }
  if (type.kind === 'boolean') return () => values[next()] === 1
  if (type.kind === 'float32') return () => view.getFloat32(next(), true)
  if (type.kind === 'float64') return () => view.getFloat64(next(), true)
  if (type.kind === 'string' || type.kind === 'binary') {
    return () => {
      const length = view.getUint32(next(4), true)
      const start = next(length)
      const bytes = new Uint8Array(values.subarray(start, at))
      return type.kind === 'string' ? Buffer.from(bytes).toString() : bytes
    }
  }
  if (width === 16) {
    return () => (view.getBigInt64(next()) << 64n) | view.getBigUint64(at - 8)
  }
  return width === 8 ? () => view.getBigInt64(next(), true) : () => view.getInt32(next(), true)
}

const samples: readonly (readonly [CanonicalType, (row: number) => Cell])[] = [
  [{ kind: 'boolean' }, (row) => row % 3 === 0],
  [{ kind: 'int32' }, (row) => 5 - row * 7],
  [{ kind: 'int64' }, (row) => BigInt(row) ** 5n - 2n ** 50n],
  [{ kind: 'float32' }, (row) => Math.fround(row / 3)],
  [{ kind: 'float64' }, (row) => row / 3],
  [{ kind: 'decimal', precision: 38, scale: 4 }, (row) => (BigInt(row) - 2500n) * 10n ** 30n],
  [{ kind: 'string' }, (row) => 'é'.repeat(row % 50)],
  [{ kind: 'binary' }, (row) => new Uint8Array(row % 70).fill(row)],
  [
    { kind: 'array', element: { kind: 'int32' } },
    (row) => Array.from({ length: row % 4 }, (_, at) => (at === 2 ? null : row + at)),
  ],
]

for (const [type, cell] of samples) {
  test(`${type.kind} grows past its first buffers and starts anew after finish()`, () => {
    const builder = createColumnBuilder('c', type)
    // Small after large too: a builder that remembers its last size must not show old cells.
    for (const [count, period] of [
      [5000, 7],
      [3, 2],
      [0, 1],
      [1025, 1025],
      [2000, 0],
    ] as const) {
      const cells = Array.from({ length: count }, (_, row): Cell => {
        if (period > 0 && row % period === period - 1) return row % 2 === 0 ? null : absent
        return cell(row)
      })
      for (const one of cells) appendCell(builder, one)
      const column = builder.finish()
      expect(cellsOf(column)).toEqual(cells)
      expect(column.nullCount).toBe(cells.filter((one) => one === null).length)
      expect(column.absentCount).toBe(cells.filter((one) => one === absent).length)
      expect(column.valueCount).toBe(count - column.nullCount - column.absentCount)
      expect(column.states === undefined).toBe(column.valueCount === count)
      expect(builder.rowCount).toBe(0)
      expect(builder.byteLength).toBe(0)
    }
  })
}

test('a NULL after many values marks only itself', () => {
  for (const before of [0, 1, 1023, 1024, 1025, 5000]) {
    const builder = new Int32Builder('c', { kind: 'int32' })
    for (let row = 0; row < before; row++) builder.append(row)
    builder.appendNull()
    for (let row = 0; row < 3000; row++) builder.append(row)
    builder.appendAbsent()
    const { states, rowCount } = builder.finish()
    expect(states?.length).toBe(rowCount)
    const marked = [...(states ?? [])].flatMap((state, row) => (state === 0 ? [] : [[row, state]]))
    expect(marked).toEqual([
      [before, cellState.null],
      [before + 3001, cellState.absent],
    ])
  }
})

test('a finished column shares no memory with its builder', () => {
  const builder = new BytesBuilder('c', { kind: 'string' })
  builder.appendText('first')
  builder.appendNull()
  const first = builder.finish()
  builder.appendText('other')
  builder.appendAbsent()
  builder.finish()
  expect(cellsOf(first)).toEqual(['first', null])
})

test('int64 cells come in as words, safe integers or bigints', () => {
  const builder = new Int64Builder('c', { kind: 'int64' })
  const expected: bigint[] = []
  fc.assert(
    fc.property(fc.maxSafeInteger(), (value) => {
      builder.appendNumber(value)
      expected.push(BigInt(value))
    }),
  )
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      builder.appendBigInt(value)
      builder.appendWords(
        Number(BigInt.asUintN(32, value)),
        Number(BigInt.asUintN(32, value >> 32n)),
      )
      expected.push(value, value)
    }),
  )
  expect(cellsOf(builder.finish())).toEqual(expected)
})

test('byteLength counts the cells so far, and the batch the sum of its buffers', () => {
  const type = { kind: 'string' } as const
  const sized: readonly [ColumnBuilder, Cell, number][] = [
    [new BooleanBuilder('c', { kind: 'boolean' }), true, 1],
    [new Int32Builder('c', { kind: 'int32' }), 1, 4],
    [new Float64Builder('c', { kind: 'float64' }), 1, 8],
    [new Decimal128Builder('c', { kind: 'decimal', precision: 38, scale: 0 }), 1n, 16],
    [new BytesBuilder('c', type), 'four', 8],
  ]
  for (const [builder, cell, size] of sized) {
    appendCell(builder, cell)
    expect(builder.byteLength).toBe(size)
    builder.appendNull()
    // Once there is a NULL, the state of every row takes a byte.
    expect(builder.byteLength).toBe(size + 2)
  }
  const batch = finishBatch(sized.map(([builder]) => builder))
  expect(batch.rowCount).toBe(2)
  expect(batch.byteLength).toBe(37 + sized.length * 2)
})

test('a batch of one NULL list has no elements', () => {
  const type: CanonicalType = { kind: 'array', element: { kind: 'string' } }
  const { columns } = batchOf([{ name: 'c', type, cells: [null, [], ['a', null]] }])
  const list = columns[0]?.list
  expect(list?.lengths).toEqual(new Int32Array([0, 2]))
  expect(list && cellsOf(list.elements)).toEqual(['a', null])
})

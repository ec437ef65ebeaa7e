/** Cells of a column as plain values, for comparing in tests. */
import { cellState, type Column } from '../../src/columnar/column-batch.ts'
import type { ColumnBuilder } from '../../src/columnar/column-builder.ts'
import type { RowTarget } from '../../src/source/change-sink.ts'

export const absent = Symbol('absent')

export type CellValue = boolean | number | bigint | string | null | typeof absent

/**
 * Booleans and floats as they are; integers, dates, timestamps and decimals (unscaled) as bigint;
 * strings as text; binary as hex digits.
 */
export function columnValues(column: Column): CellValue[] {
  const bytes = Buffer.from(column.values)
  const next = reader(column, bytes)
  const values: CellValue[] = []
  for (let row = 0; row < column.rowCount; row++) {
    const state = column.states?.[row] ?? cellState.value
    if (state === cellState.value) values.push(next())
    else values.push(state === cellState.null ? null : absent)
  }
  return values
}

function reader(column: Column, bytes: Buffer): () => CellValue {
  let at = 0
  const step = (size: number): number => (at += size) - size
  switch (column.type.kind) {
    case 'boolean':
      return () => bytes.readUInt8(step(1)) === 1
    case 'int8':
    case 'int16':
    case 'int32':
    case 'date':
      return () => BigInt(bytes.readInt32LE(step(4)))
    case 'int64':
    case 'timestamp':
    case 'timestamp_ntz':
      return () => bytes.readBigInt64LE(step(8))
    case 'float32':
      return () => bytes.readFloatLE(step(4))
    case 'float64':
      return () => bytes.readDoubleLE(step(8))
    case 'decimal':
      if (column.type.precision <= 9) return () => BigInt(bytes.readInt32LE(step(4)))
      if (column.type.precision <= 18) return () => bytes.readBigInt64LE(step(8))
      return () => (bytes.readBigInt64BE(step(8)) << 64n) | bytes.readBigUInt64BE(step(8))
    case 'string':
    case 'binary': {
      const encoding = column.type.kind === 'string' ? 'utf8' : 'hex'
      return () => {
        const length = bytes.readUInt32LE(step(4))
        const start = step(length)
        return bytes.toString(encoding, start, start + length)
      }
    }
    case 'array':
      throw new Error('arrays are not read here')
    default:
      return column.type satisfies never
  }
}

/** A row target that only counts, and proves that every row got exactly one cell a column. */
export function rowTarget(columns: readonly ColumnBuilder[]): RowTarget & { ops: string[] } {
  const ops: string[] = []
  return {
    columns,
    ops,
    startRow: (op) => void ops.push(op),
    endRow: () => {
      for (const column of columns) {
        if (column.rowCount !== ops.length) {
          throw new Error(
            `column ${column.name} has ${column.rowCount} cells in ${ops.length} rows`,
          )
        }
      }
    },
  }
}

/** Cells as plain JavaScript values: how tests write batches down and compare what comes back. */
import type { CanonicalType } from '../../src/columnar/canonical-type.ts'
import type { ColumnBatch } from '../../src/columnar/column-batch.ts'
import {
  ArrayBuilder,
  BooleanBuilder,
  BytesBuilder,
  createColumnBuilder,
  Decimal128Builder,
  finishBatch,
  Float32Builder,
  Float64Builder,
  Int32Builder,
  Int64Builder,
  type ColumnBuilder,
} from '../../src/columnar/column-builder.ts'
import type { ParquetColumn } from '../../src/columnar/parquet-encoder.ts'

/** The type can not hold the value; this is its text in the source. */
export class Unfit {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toString(): string {
    return `unfit ${this.text}`
  }
}

/** The source did not send the cell. */
export const absent = Symbol('absent')

/**
 * boolean; number for 4-byte integers, dates (days) and floats; bigint for int64, timestamps
 * (microseconds) and every decimal (unscaled); string; Uint8Array for binary; a list for arrays.
 */
export type Cell =
  | null
  | typeof absent
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Unfit
  | readonly Cell[]

export function appendCell(builder: ColumnBuilder, cell: Cell): void {
  if (cell === null) builder.appendNull()
  else if (cell === absent) builder.appendAbsent()
  else if (cell instanceof Unfit) {
    const bytes = Buffer.from(cell.text)
    builder.appendUnfit(new DataView(bytes.buffer, bytes.byteOffset), 0, bytes.length)
  } else if (builder instanceof ArrayBuilder && Array.isArray(cell)) {
    for (const element of cell as readonly Cell[]) appendCell(builder.elements, element)
    builder.endArray(cell.length)
  } else if (builder instanceof BooleanBuilder && typeof cell === 'boolean') builder.append(cell)
  else if (builder instanceof Int32Builder) builder.append(Number(cell))
  else if (builder instanceof Float32Builder) builder.append(Number(cell))
  else if (builder instanceof Float64Builder) builder.append(Number(cell))
  else if (builder instanceof Int64Builder && typeof cell === 'bigint') builder.appendBigInt(cell)
  else if (builder instanceof Decimal128Builder && typeof cell === 'bigint') builder.append(cell)
  else if (builder instanceof BytesBuilder && typeof cell === 'string') builder.appendText(cell)
  else if (builder instanceof BytesBuilder && cell instanceof Uint8Array) {
    builder.append(cell, 0, cell.length)
  } else throw new Error(`${String(cell)} does not fit ${builder.constructor.name}`)
}

/** A batch with these columns of cells. */
export function batchOf(
  columns: readonly (ParquetColumn & { readonly cells: readonly Cell[] })[],
): ColumnBatch {
  return finishBatch(
    columns.map(({ name, type, cells }) => {
      const builder = createColumnBuilder(name, type)
      for (const cell of cells) appendCell(builder, cell)
      return builder
    }),
  )
}

/** What a file gives back for a cell: absent is stored as NULL, float32 has lost digits. */
export function storedCell(type: CanonicalType, cell: Cell): Cell {
  if (cell === absent || cell === null || cell instanceof Unfit) return null
  if (type.kind === 'array') {
    return (cell as readonly Cell[]).map((element) => storedCell(type.element, element))
  }
  return type.kind === 'float32' ? Math.fround(Number(cell)) : cell
}

/**
 * ColumnBatch: the one currency between decoders, staging and the Parquet encoder.
 * Buffers are already Parquet PLAIN data: the encoder frames them, it does not look at cells.
 */
import type { CanonicalType } from './canonical-type.ts'

/** State of one cell in `Column.states`. Absent means "the source did not send it", never NULL. */
export const cellState = { value: 0, null: 1, absent: 2 } as const

export interface Column {
  readonly name: string
  readonly type: CanonicalType
  readonly rowCount: number
  /**
   * The cells that are values, in row order, nothing between them:
   * - boolean: one byte each, 0 or 1
   * - int8, int16, int32, date, decimal(p ≤ 9): 4 bytes little endian, two's complement
   * - int64, timestamp, timestamp_ntz, decimal(p ≤ 18): 8 bytes little endian
   * - float32, float64: IEEE 754 little endian
   * - decimal(p > 18): 16 bytes big endian, two's complement, unscaled
   * - string, binary: 4 bytes little endian length, then the bytes
   * - array: empty; see `list`
   */
  readonly values: Uint8Array
  readonly valueCount: number
  /** One `cellState` byte per row; undefined when every row is a value. */
  readonly states: Uint8Array | undefined
  readonly nullCount: number
  readonly absentCount: number
  /**
   * Cells whose value the type can not hold: they are NULL here, and this is what the source wrote.
   * `rows` ascending, one text per row; undefined when there are none.
   */
  readonly unfit?: { readonly rows: readonly number[]; readonly texts: readonly string[] }
  /** Only for arrays: elements of all value rows, back to back, and the length of each value row. */
  readonly list?: { readonly elements: Column; readonly lengths: Int32Array }
}

/**
 * Rows by column. Immutable once handed over; whoever made it does not touch the buffers again.
 * Whoever takes it over may let them be used again (`releaseBatch`) when nobody looks at it any more.
 */
export interface ColumnBatch {
  readonly columns: readonly Column[]
  readonly rowCount: number
  /** Sum of the sizes of all buffers: what memory budgets count. */
  readonly byteLength: number
}

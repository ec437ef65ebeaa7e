/** Results by column: fixed-width numbers as typed arrays, so that millions of positions cost no objects. */

export type ColumnValues = BigInt64Array | Int32Array | Float64Array | readonly unknown[]

export interface ResultColumn {
  readonly name: string
  /**
   * BIGINT: BigInt64Array. TINYINT to INTEGER, unsigned up to USMALLINT, DATE as days: Int32Array.
   * FLOAT, DOUBLE: Float64Array. Anything else: the values `rows` would give.
   */
  readonly values: ColumnValues
  /** One byte per row, 1 where the value is NULL; undefined when none is. */
  readonly nulls: Uint8Array | undefined
}

export interface ResultColumns {
  readonly rowCount: number
  readonly columns: readonly ResultColumn[]
}

/** The column as int64; throws a RangeError when the query gave it another type. */
export function int64Column(result: ResultColumns, index: number): BigInt64Array {
  const values = result.columns[index]?.values
  if (values instanceof BigInt64Array) return values
  throw new RangeError(`column ${index} is not BIGINT`)
}

/** The column as int32; throws a RangeError when the query gave it another type. */
export function int32Column(result: ResultColumns, index: number): Int32Array {
  const values = result.columns[index]?.values
  if (values instanceof Int32Array) return values
  throw new RangeError(`column ${index} is not INTEGER`)
}

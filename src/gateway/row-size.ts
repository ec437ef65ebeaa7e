/** Bytes held by a set of builders, cheap enough to ask after every row. */
import {
  ArrayBuilder,
  BytesBuilder,
  Decimal128Builder,
  type ColumnBuilder,
} from '../columnar/column-builder.ts'

export class RowSize {
  /** Upper bound of what one row holds in fixed-width cells and cell states. */
  readonly fixedBytes: number
  readonly #variable: readonly (BytesBuilder | ArrayBuilder)[]
  /** Of unfit cells, which are rare: builders tell, nobody asks them per row. */
  readonly #unfit = { bytes: 0 }

  constructor(builders: readonly ColumnBuilder[]) {
    let fixed = 0
    const variable: (BytesBuilder | ArrayBuilder)[] = []
    for (const builder of builders) {
      builder.unfitMeter = this.#unfit
      if (builder instanceof BytesBuilder || builder instanceof ArrayBuilder) {
        variable.push(builder)
        fixed += 1
      } else {
        fixed += builder instanceof Decimal128Builder ? 17 : 9
      }
    }
    this.fixedBytes = fixed
    this.#variable = variable
  }

  /** An upper bound of the bytes in `rowCount` rows of the builders. */
  bytes(rowCount: number): number {
    let bytes = rowCount * this.fixedBytes + this.#unfit.bytes
    const variable = this.#variable
    for (let i = 0; i < variable.length; i++) bytes += variable[i]?.byteLength ?? 0
    return bytes
  }
}

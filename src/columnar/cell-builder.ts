/** What the builders of all physical layouts share: cell states, counts, NULL, absent and growth. */
import { giveBuffer, takeBuffer } from './buffer-pool.ts'
import type { CanonicalType } from './canonical-type.ts'
import { cellState, type Column } from './column-batch.ts'

/** Room of a builder's first buffer; later ones have room for what the last one held. */
const firstCells = 256

/** Memory of unfit cells beside their text, roughly. */
const unfitCellBytes = 48

/**
 * How much to make room for after a batch of `used`, when `expected` was made room for. Batches of
 * one table tend to be alike; an eighth more, as they are never quite. The last one of a chunk or a
 * commit is smaller, and says little of the next.
 */
export function expectedAfter(used: number, expected: number): number {
  const wanted = used + (used >> 3)
  return wanted * 4 > expected ? Math.max(wanted, expected) : wanted
}

/** What all builders share: the cell states, counts, NULL, absent and unfit. */
export abstract class CellBuilder {
  readonly name: string
  readonly type: CanonicalType
  rowCount = 0
  valueCount = 0
  nullCount = 0
  absentCount = 0
  #states: Uint8Array | undefined
  #expectedCells = firstCells
  #unfit: { readonly rows: number[]; readonly texts: string[] } | undefined
  #unfitBytes = 0
  /** Shared by the builders of a table: how much memory the texts of their unfit cells take. */
  unfitMeter: { bytes: number } | undefined

  constructor(name: string, type: CanonicalType) {
    this.name = name
    this.type = type
  }

  /** Bytes held by cells so far, NULLs included; what memory budgets count. */
  abstract get byteLength(): number

  protected get stateBytes(): number {
    return this.#states === undefined ? 0 : this.rowCount
  }

  /**
   * A larger copy of a full buffer of fixed-width cells; `width` is its items a cell. The first
   * buffer is made at the first append, so that a builder between two batches holds no memory.
   */
  protected grown<Values extends Uint8Array | Int32Array | Float32Array | Float64Array>(
    values: Values,
    width = 1,
  ): Values {
    const cells = values.length === 0 ? this.#expectedCells : (values.length / width) * 2
    const cellBytes = values.BYTES_PER_ELEMENT * width
    const buffer = takeBuffer(cells * cellBytes)
    // All the room there is, in whole cells: a builder is full exactly when its buffer is.
    const length = Math.floor(buffer.byteLength / cellBytes) * width
    const larger = new (values.constructor as new (
      buffer: ArrayBuffer,
      offset: number,
      length: number,
    ) => Values)(buffer, 0, length)
    larger.set(values)
    giveBuffer(values.buffer)
    return larger
  }

  /** The column so far; the builder is empty afterwards and shares no memory with the column. */
  abstract finish(): Column

  appendNull(): void {
    this.#mark(cellState.null)
    this.nullCount++
  }

  appendAbsent(): void {
    this.#mark(cellState.absent)
    this.absentCount++
  }

  /**
   * A cell whose value, with the text `bytes[start, end)` in the source, the type can not hold: NULL
   * here, and the text is remembered.
   */
  appendUnfit(bytes: DataView, start: number, end: number): void {
    this.#unfit ??= { rows: [], texts: [] }
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8')
    this.#unfit.rows.push(this.rowCount)
    this.#unfit.texts.push(text)
    const size = unfitCellBytes + text.length
    this.#unfitBytes += size
    if (this.unfitMeter !== undefined) this.unfitMeter.bytes += size
    this.appendNull()
  }

  #mark(state: number): void {
    let states = this.#states
    if (states === undefined || this.rowCount >= states.length) {
      const grown = new Uint8Array(takeBuffer(Math.max(this.#expectedCells, this.rowCount * 2 + 1)))
      if (states !== undefined) grown.set(states)
      // A row of which nothing is said is a value.
      grown.fill(cellState.value, states?.length ?? 0)
      if (states !== undefined) giveBuffer(states.buffer)
      states = this.#states = grown
    }
    states[this.rowCount++] = state
  }

  protected takeHead(values: Uint8Array): Column {
    let states: Uint8Array | undefined
    if (this.#states !== undefined) {
      const all = this.#states
      if (all.length >= this.rowCount) states = all.subarray(0, this.rowCount)
      else {
        // Rows after the last NULL lie beyond the buffer: they are values, which is 0.
        states = new Uint8Array(this.rowCount)
        states.set(all)
        giveBuffer(all.buffer)
      }
    }
    const column: Column = {
      name: this.name,
      type: this.type,
      rowCount: this.rowCount,
      values,
      valueCount: this.valueCount,
      states,
      nullCount: this.nullCount,
      absentCount: this.absentCount,
      ...(this.#unfit !== undefined && { unfit: this.#unfit }),
    }
    if (this.unfitMeter !== undefined) this.unfitMeter.bytes -= this.#unfitBytes
    this.#unfit = undefined
    this.#unfitBytes = 0
    this.#expectedCells = Math.max(firstCells, expectedAfter(this.rowCount, this.#expectedCells))
    this.rowCount = this.valueCount = this.nullCount = this.absentCount = 0
    this.#states = undefined
    return column
  }
}

/**
 * Typed column builders: decoders append cells, buffers come out as Parquet PLAIN data.
 * One class per physical layout so that each decoder's call stays monomorphic.
 */
import type { CanonicalType } from './canonical-type.ts'
import { giveBuffer, takeBuffer } from './buffer-pool.ts'
import { CellBuilder, expectedAfter } from './cell-builder.ts'
import type { Column, ColumnBatch } from './column-batch.ts'

/** Room of the first buffer of a `BytesBuilder`. */
const firstBytes = 4096
const emptyBytes = new Uint8Array(0)

/** boolean: one byte a cell. */
export class BooleanBuilder extends CellBuilder {
  #values = new Uint8Array(0)

  get byteLength(): number {
    return this.valueCount + this.stateBytes
  }

  append(value: boolean): void {
    if (this.valueCount === this.#values.length) {
      this.#values = this.grown(this.#values)
    }
    this.#values[this.valueCount++] = value ? 1 : 0
    this.rowCount++
  }

  finish(): Column {
    const values = this.#values.subarray(0, this.valueCount)
    this.#values = new Uint8Array(0)
    return this.takeHead(values)
  }
}

/** int8, int16, int32, date and decimals of at most 9 digits: 4 bytes a cell. */
export class Int32Builder extends CellBuilder {
  #values = new Int32Array(0)

  get byteLength(): number {
    return this.valueCount * 4 + this.stateBytes
  }

  append(value: number): void {
    if (this.valueCount === this.#values.length) {
      this.#values = this.grown(this.#values)
    }
    this.#values[this.valueCount++] = value
    this.rowCount++
  }

  finish(): Column {
    const values = new Uint8Array(this.#values.buffer, 0, this.valueCount * 4)
    this.#values = new Int32Array(0)
    return this.takeHead(values)
  }
}

/** int64, timestamps and decimals of 10 to 18 digits: 8 bytes a cell. */
export class Int64Builder extends CellBuilder {
  #words = new Int32Array(0)

  get byteLength(): number {
    return this.valueCount * 8 + this.stateBytes
  }

  /** Low and high 32 bits of the two's complement value; either may be given signed or unsigned. */
  appendWords(low: number, high: number): void {
    const at = this.valueCount * 2
    if (at === this.#words.length) this.#grow()
    this.#words[at] = low
    this.#words[at + 1] = high
    this.valueCount++
    this.rowCount++
  }

  /** Exact for every safe integer. */
  appendNumber(value: number): void {
    this.appendWords(value | 0, Math.floor(value / 4294967296))
  }

  appendBigInt(value: bigint): void {
    this.appendWords(Number(BigInt.asIntN(32, value)), Number(BigInt.asIntN(32, value >> 32n)))
  }

  #grow(): void {
    this.#words = this.grown(this.#words, 2)
  }

  finish(): Column {
    const values = new Uint8Array(this.#words.buffer, 0, this.valueCount * 8)
    this.#words = new Int32Array(0)
    return this.takeHead(values)
  }
}

/** float32. */
export class Float32Builder extends CellBuilder {
  #values = new Float32Array(0)

  get byteLength(): number {
    return this.valueCount * 4 + this.stateBytes
  }

  append(value: number): void {
    if (this.valueCount === this.#values.length) {
      this.#values = this.grown(this.#values)
    }
    this.#values[this.valueCount++] = value
    this.rowCount++
  }

  finish(): Column {
    const values = new Uint8Array(this.#values.buffer, 0, this.valueCount * 4)
    this.#values = new Float32Array(0)
    return this.takeHead(values)
  }
}

/** float64. */
export class Float64Builder extends CellBuilder {
  #values = new Float64Array(0)

  get byteLength(): number {
    return this.valueCount * 8 + this.stateBytes
  }

  append(value: number): void {
    if (this.valueCount === this.#values.length) {
      this.#values = this.grown(this.#values)
    }
    this.#values[this.valueCount++] = value
    this.rowCount++
  }

  finish(): Column {
    const values = new Uint8Array(this.#values.buffer, 0, this.valueCount * 8)
    this.#values = new Float64Array(0)
    return this.takeHead(values)
  }
}

/** Decimals of 19 to 38 digits: 16 bytes big endian a cell. */
export class Decimal128Builder extends CellBuilder {
  #values = new Uint8Array(0)
  #view = new DataView(this.#values.buffer)

  get byteLength(): number {
    return this.valueCount * 16 + this.stateBytes
  }

  /** `value` is unscaled. */
  append(value: bigint): void {
    const word = (shift: bigint): number => Number(BigInt.asIntN(32, value >> shift))
    this.appendWords(word(96n), word(64n), word(32n), word(0n))
  }

  /** The unscaled two's complement value by its 32-bit words, the highest first. */
  appendWords(word3: number, word2: number, word1: number, word0: number): void {
    const at = this.valueCount * 16
    if (at === this.#values.length) {
      this.#values = this.grown(this.#values, 16)
      this.#view = new DataView(this.#values.buffer)
    }
    this.#view.setInt32(at, word3)
    this.#view.setInt32(at + 4, word2)
    this.#view.setInt32(at + 8, word1)
    this.#view.setInt32(at + 12, word0)
    this.valueCount++
    this.rowCount++
  }

  finish(): Column {
    const values = this.#values.subarray(0, this.valueCount * 16)
    this.#values = new Uint8Array(0)
    this.#view = new DataView(this.#values.buffer)
    return this.takeHead(values)
  }
}

/** string and binary: 4-byte little-endian length, then the bytes. */
export class BytesBuilder extends CellBuilder {
  #values = Buffer.allocUnsafeSlow(0)
  #view = new DataView(this.#values.buffer)
  #end = 0
  #expectedBytes = firstBytes

  get byteLength(): number {
    return this.#end + this.stateBytes
  }

  /** Copies `source[start, end)`. */
  append(source: Uint8Array, start: number, end: number): void {
    this.appendView(new DataView(source.buffer, source.byteOffset), start, end)
  }

  /**
   * Copies `source[start, end)`, eight bytes at a time, which beats any call below 100 bytes; once
   * optimised the bigint never leaves a register.
   */
  appendView(source: DataView, start: number, end: number): void {
    let to = this.reserve(end - start)
    const view = this.#view
    let from = start
    if (end - from > 100) {
      this.#values.set(new Uint8Array(source.buffer, source.byteOffset + from, end - from), to)
      return
    }
    for (; from + 8 <= end; from += 8, to += 8) view.setBigInt64(to, source.getBigInt64(from))
    if (from + 4 <= end) {
      view.setInt32(to, source.getInt32(from))
      from += 4
      to += 4
    }
    for (; from < end; from++, to++) view.setUint8(to, source.getUint8(from))
  }

  /** UTF-8 text from a JS string: for cold paths and tests. */
  appendText(text: string): void {
    const bytes = Buffer.from(text, 'utf8')
    this.append(bytes, 0, bytes.length)
  }

  /**
   * Opens a cell of `length` bytes and returns the offset in `buffer` where they go. The caller
   * fills exactly that range before the next call.
   */
  reserve(length: number): number {
    const start = this.#end
    const next = start + 4 + length
    if (next > this.#values.length) this.#grow(next)
    this.#view.setInt32(start, length, true)
    this.#end = next
    this.valueCount++
    this.rowCount++
    return start + 4
  }

  /** Valid until the next `reserve` or `append`. */
  get buffer(): Uint8Array {
    return this.#values
  }

  #grow(needed: number): void {
    const wanted = this.#values.length === 0 ? this.#expectedBytes : this.#values.length * 2
    const grown = Buffer.from(takeBuffer(Math.max(needed, wanted)))
    this.#values.copy(grown, 0, 0, this.#end)
    giveBuffer(this.#values.buffer)
    this.#values = grown
    this.#view = new DataView(grown.buffer)
  }

  finish(): Column {
    const values = this.#values.subarray(0, this.#end)
    this.#expectedBytes = Math.max(firstBytes, expectedAfter(this.#end, this.#expectedBytes))
    this.#values = Buffer.allocUnsafeSlow(0)
    this.#view = new DataView(this.#values.buffer)
    this.#end = 0
    return this.takeHead(values)
  }
}

/** array<scalar>: append the elements to `elements`, then call `endArray` with their count. */
export class ArrayBuilder extends CellBuilder {
  readonly elements: ColumnBuilder
  #lengths = new Int32Array(0)

  constructor(name: string, type: Extract<CanonicalType, { kind: 'array' }>) {
    super(name, type)
    this.elements = createColumnBuilder('element', type.element)
  }

  get byteLength(): number {
    return this.elements.byteLength + this.valueCount * 4 + this.stateBytes
  }

  endArray(elementCount: number): void {
    if (this.valueCount === this.#lengths.length) {
      this.#lengths = this.grown(this.#lengths)
    }
    this.#lengths[this.valueCount++] = elementCount
    this.rowCount++
  }

  finish(): Column {
    const lengths = this.#lengths.subarray(0, this.valueCount)
    this.#lengths = new Int32Array(0)
    return { ...this.takeHead(emptyBytes), list: { elements: this.elements.finish(), lengths } }
  }
}

export type ColumnBuilder =
  | BooleanBuilder
  | Int32Builder
  | Int64Builder
  | Float32Builder
  | Float64Builder
  | Decimal128Builder
  | BytesBuilder
  | ArrayBuilder

export function createColumnBuilder(name: string, type: CanonicalType): ColumnBuilder {
  switch (type.kind) {
    case 'boolean':
      return new BooleanBuilder(name, type)
    case 'int8':
    case 'int16':
    case 'int32':
    case 'date':
      return new Int32Builder(name, type)
    case 'int64':
    case 'timestamp':
    case 'timestamp_ntz':
      return new Int64Builder(name, type)
    case 'float32':
      return new Float32Builder(name, type)
    case 'float64':
      return new Float64Builder(name, type)
    case 'decimal':
      if (type.precision <= 9) return new Int32Builder(name, type)
      if (type.precision <= 18) return new Int64Builder(name, type)
      return new Decimal128Builder(name, type)
    case 'string':
    case 'binary':
      return new BytesBuilder(name, type)
    case 'array':
      return new ArrayBuilder(name, type)
    default:
      return type satisfies never
  }
}

/** The rows appended to `builders` so far as a batch; the builders are empty afterwards. */
export function finishBatch(builders: readonly ColumnBuilder[]): ColumnBatch {
  const rowCount = builders[0]?.rowCount ?? 0
  const columns = builders.map((builder) => builder.finish())
  const byteLength = columns.reduce((sum, column) => sum + bytesOf(column), 0)
  return { columns, rowCount, byteLength }
}

/**
 * The buffers of a batch may be used for other rows from now on. To be called by whoever was handed
 * the batch, once nobody looks at it any more.
 */
export function releaseBatch(batch: ColumnBatch): void {
  for (const column of batch.columns) releaseColumn(column)
}

function releaseColumn({ values, states, list }: Column): void {
  giveBuffer(values.buffer)
  if (states !== undefined) giveBuffer(states.buffer)
  if (list !== undefined) {
    giveBuffer(list.lengths.buffer)
    releaseColumn(list.elements)
  }
}

function bytesOf({ values, states, list }: Column): number {
  const own = values.byteLength + (states?.byteLength ?? 0)
  return list === undefined ? own : own + list.lengths.byteLength + bytesOf(list.elements)
}

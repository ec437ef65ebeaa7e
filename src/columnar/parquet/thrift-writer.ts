/**
 * Thrift compact protocol, the part Parquet metadata needs: structs, lists, integers, booleans,
 * binaries. Spec: apache/thrift doc/specs/thrift-compact-protocol.md.
 */

/** Compact-protocol type ids of struct fields ("Struct encoding"). */
const fieldType = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  binary: 8,
  list: 9,
  struct: 12,
} as const

/** Element types of lists; they share the field ids. */
export const listOf = {
  i32: fieldType.i32,
  binary: fieldType.binary,
  struct: fieldType.struct,
} as const

/** Writes one top-level struct. Fields are given in ascending id order, then `end()`. */
export class ThriftWriter {
  #bytes = new Uint8Array(256)
  #length = 0
  #lastField = 0
  readonly #outerFields: number[] = []

  bool(field: number, value: boolean): void {
    this.#header(field, value ? fieldType.true : fieldType.false)
  }

  byte(field: number, value: number): void {
    this.#header(field, fieldType.byte)
    this.#push(value & 255)
  }

  i16(field: number, value: number): void {
    this.#header(field, fieldType.i16)
    this.#varint(zigzag(value))
  }

  i32(field: number, value: number): void {
    this.#header(field, fieldType.i32)
    this.#varint(zigzag(value))
  }

  /** Sizes and offsets: any safe integer ≥ 0. */
  i64(field: number, value: number): void {
    this.#header(field, fieldType.i64)
    this.#varint(value * 2)
  }

  text(field: number, value: string): void {
    this.binary(field, Buffer.from(value, 'utf8'))
  }

  binary(field: number, value: Uint8Array): void {
    this.#header(field, fieldType.binary)
    this.#raw(value)
  }

  /** Opens a struct field; `end()` closes it. */
  struct(field: number): void {
    this.#header(field, fieldType.struct)
    this.element()
  }

  /** Opens a list field; write exactly `size` elements next. Lists have no end mark. */
  list(field: number, elementType: number, size: number): void {
    this.#header(field, fieldType.list)
    if (size < 15) this.#push((size << 4) | elementType)
    else {
      this.#push(0xf0 | elementType)
      this.#varint(size)
    }
  }

  /** Opens a struct that is a list element; `end()` closes it. */
  element(): void {
    this.#outerFields.push(this.#lastField)
    this.#lastField = 0
  }

  elementI32(value: number): void {
    this.#varint(zigzag(value))
  }

  elementText(value: string): void {
    this.#raw(Buffer.from(value, 'utf8'))
  }

  /** Closes the innermost open struct, at last the top-level one. */
  end(): void {
    this.#push(0)
    this.#lastField = this.#outerFields.pop() ?? 0
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }

  #header(field: number, type: number): void {
    const delta = field - this.#lastField
    if (delta > 0 && delta < 16) this.#push((delta << 4) | type)
    else {
      this.#push(type)
      this.#varint(zigzag(field))
    }
    this.#lastField = field
  }

  #raw(value: Uint8Array): void {
    this.#varint(value.length)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
  }

  #varint(value: number): void {
    // Division, not shifts: file offsets pass 2^32.
    while (value >= 128) {
      this.#push((value % 128) | 128)
      value = Math.floor(value / 128)
    }
    this.#push(value)
  }

  #push(byte: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = byte
  }

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes)
    this.#bytes = grown
  }
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0
}

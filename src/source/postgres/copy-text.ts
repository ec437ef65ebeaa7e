/**
 * Rows of `COPY … TO STDOUT` in text format, from the bytes of each row to column builders.
 * Format: PostgreSQL documentation, COPY, "Text Format".
 */
import { SluiceError } from '../../base/errors.ts'
import type { ColumnBuilder } from '../../columnar/column-builder.ts'
import type { RowTarget } from '../change-sink.ts'
import { cellErrorAt } from './cell-error.ts'
import { appendCell, type CellDecoder, cellKind } from './cell-decoder.ts'

const tab = 9
const newline = 10
const backslash = 92
const letterN = 78

function unexpectedRow(offset: number, what: string): SluiceError {
  return new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `COPY row, byte ${offset}: ${what}.`)
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * True when none of the four bytes is a tab or a backslash. A byte of `word ^ pattern` is zero
 * where it is one; (x - 0x01…) & ~x & 0x80… is not zero exactly when x has a zero byte.
 */
function isPlain(word: number): boolean {
  const tabs = word ^ 0x09090909
  const backslashes = word ^ 0x5c5c5c5c
  const found = ((tabs - 0x01010101) & ~tabs) | ((backslashes - 0x01010101) & ~backslashes)
  return (found & 0x80808080) === 0
}

export class CopyTextDecoder {
  readonly #decoders: readonly CellDecoder[]
  readonly #sink: RowTarget
  readonly #ends: Int32Array
  /** 1 where the cell holds a backslash. */
  readonly #escaped: Uint8Array
  #scratch = new Uint8Array(1024)
  #scratchView = viewOf(this.#scratch)
  #buffer: Uint8Array = this.#scratch
  #view = this.#scratchView

  constructor(decoders: readonly CellDecoder[], sink: RowTarget) {
    this.#decoders = decoders
    this.#sink = sink
    this.#ends = new Int32Array(decoders.length)
    this.#escaped = new Uint8Array(decoders.length)
  }

  /**
   * One CopyData payload: a whole row with its newline. Errors: SOURCE_PROTOCOL_UNEXPECTED for a
   * row that is not one (nothing was appended then), SOURCE_VALUE_MALFORMED for a cell; after any
   * of them the rows since the last finished batch have to be dropped.
   */
  row(buffer: Uint8Array, start: number, end: number): void {
    const last = end - 1
    if (last < start || buffer[last] !== newline) throw unexpectedRow(end - start, 'no newline')
    if (buffer !== this.#buffer) {
      this.#buffer = buffer
      this.#view = viewOf(buffer)
    }
    const view = this.#view
    this.#scan(view, start, last)
    const sink = this.#sink
    const decoders = this.#decoders
    const ends = this.#ends
    const escaped = this.#escaped
    sink.startRow('r')
    const { columns } = sink
    let at = start
    let index = 0
    try {
      for (; index < decoders.length; index++) {
        const to = ends[index] as number
        const decoder = decoders[index] as CellDecoder
        const builder = columns[index] as ColumnBuilder
        if (escaped[index] === 1) this.#escapedCell(decoder, builder, buffer, at, to)
        else appendCell(decoder, builder, view, at, to)
        at = to + 1
      }
    } catch (error) {
      throw cellErrorAt(error, `${columns[index]?.name}`)
    }
    sink.endRow()
  }

  /** Finds the ends of the row's cells, and which of them hold a backslash. */
  #scan(view: DataView, start: number, end: number): void {
    const ends = this.#ends
    const escaped = this.#escaped
    const lastColumn = ends.length - 1
    let column = 0
    let hasEscape = 0
    let at = start
    while (at < end) {
      const isWord = at + 4 <= end
      if (isWord && isPlain(view.getInt32(at))) {
        at += 4
        continue
      }
      for (const wordEnd = isWord ? at + 4 : end; at < wordEnd; at++) {
        const byte = view.getUint8(at)
        if (byte === tab) {
          if (column === lastColumn) {
            throw unexpectedRow(at - start, `more than ${ends.length} columns`)
          }
          ends[column] = at
          escaped[column++] = hasEscape
          hasEscape = 0
        } else if (byte === backslash) {
          hasEscape = 1
          // What follows, be it a tab or a backslash, belongs to the escape.
          if (++at === end) throw unexpectedRow(at - start, 'a backslash with nothing after it')
        }
      }
    }
    if (column !== lastColumn) {
      throw unexpectedRow(end - start, `${column + 1} columns instead of ${ends.length}`)
    }
    ends[column] = end
    escaped[column] = hasEscape
  }

  #escapedCell(
    decoder: CellDecoder,
    builder: ColumnBuilder,
    buffer: Uint8Array,
    start: number,
    end: number,
  ): void {
    if (end - start === 2 && buffer[start + 1] === letterN) {
      builder.appendNull()
    } else if (decoder.kind === cellKind.hex && buffer[start + 1] === backslash) {
      // `\\x…`: nothing but the first backslash is escaped.
      appendCell(decoder, builder, this.#view, start + 1, end)
    } else {
      if (this.#scratch.length < end - start) {
        this.#scratch = new Uint8Array((end - start) * 2)
        this.#scratchView = viewOf(this.#scratch)
      }
      const length = unescapeCopyText(buffer, start, end, this.#scratch)
      appendCell(decoder, builder, this.#scratchView, 0, length)
    }
  }
}

/** `decoders` are those of the copied columns, in the order of `sink.columns`. */
export function createCopyTextDecoder(
  decoders: readonly CellDecoder[],
  sink: RowTarget,
): CopyTextDecoder {
  return new CopyTextDecoder(decoders, sink)
}

/** Byte that a backslash and this byte stand for, where it is not the byte itself. */
const controls = new Uint8Array(256)
for (const [letter, value] of [
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
  ['v', 11],
] as const) {
  controls[letter.charCodeAt(0)] = value
}

/** Value of the digit `byte` in `base` (8 or 16), or -1. */
function digitOf(byte: number | undefined, base: number): number {
  if (byte === undefined) return -1
  const letter = byte | 32
  const value = byte >= 48 && byte <= 57 ? byte - 48 : letter >= 97 ? letter - 87 : -1
  return value < base ? value : -1
}

/**
 * Writes the cell `buffer[start, end)` without its escapes to `target` (at least as long) and
 * returns the length. The server sends one-letter escapes only; octal and hex ones are understood.
 */
export function unescapeCopyText(
  buffer: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let to = 0
  let at = start
  while (at < end) {
    let byte = buffer[at++] as number
    if (byte === backslash && at < end) {
      byte = buffer[at++] as number
      const isHex = byte === 120 && at < end && digitOf(buffer[at], 16) >= 0
      if (isHex || digitOf(byte, 8) >= 0) {
        const base = isHex ? 16 : 8
        let value = isHex ? 0 : digitOf(byte, 8)
        for (let left = 2; left > 0 && at < end && digitOf(buffer[at], base) >= 0; left--) {
          value = value * base + digitOf(buffer[at++], base)
        }
        byte = value & 255
      } else if (controls[byte] !== 0) {
        byte = controls[byte] as number
      }
    }
    target[to++] = byte
  }
  return to
}

/**
 * TupleData of pgoutput: found and bounds-checked as a whole before a single cell is decoded, so
 * that a cut or broken message never leaves half a row behind.
 */
import type { RelationColumn } from './relation.ts'
import { unexpectedMessage } from './protocol-error.ts'

/** Marks in `TupleCells.starts`. */
export const nullCell = -1
/** Unchanged TOAST, or a column that the old image does not carry. */
export const unsentCell = -2

const tagNull = 110
const tagUnchanged = 117
const tagText = 116
const tagBinary = 98

/** Where the cells of one tuple lie. Reused for every message. */
export interface TupleCells {
  /** Offset of the cell's text, or `nullCell`, or `unsentCell`. */
  starts: Int32Array
  ends: Int32Array
  unsentCount: number
}

export function createTupleCells(): TupleCells {
  return { starts: new Int32Array(64), ends: new Int32Array(64), unsentCount: 0 }
}

/** Tag `t` and the upper three bytes of a length below 256, read as one word. */
const shortText = 0x74000000

/**
 * Reads the tuple at `at` of the message `bytes[message, end)` into `cells`; it must have
 * `columnCount` columns. Returns the offset after it.
 */
export function scanTuple(
  bytes: DataView,
  message: number,
  at: number,
  end: number,
  columnCount: number,
  cells: TupleCells,
): number {
  if (at + 2 > end) throw tupleError(bytes, message, at, 'cut short')
  const count = bytes.getUint16(at)
  if (count !== columnCount) {
    const text = `a tuple of ${count} columns for a relation of ${columnCount}`
    throw tupleError(bytes, message, at, text)
  }
  if (count > cells.starts.length) {
    cells.starts = new Int32Array(count)
    cells.ends = new Int32Array(count)
  }
  const { starts, ends } = cells
  let unsentCount = 0
  let next = at + 2
  for (let column = 0; column < count; column++) {
    const start = next + 5
    if (start <= end && bytes.getInt32(next) === shortText) {
      next = start + bytes.getUint8(next + 4)
      starts[column] = start
      ends[column] = next
      if (next > end) throw tupleError(bytes, message, start - 5, 'cut short')
      continue
    }
    const tag = next < end ? bytes.getUint8(next) : undefined
    if (tag === tagText) {
      if (start > end) throw tupleError(bytes, message, next, 'cut short')
      const length = bytes.getInt32(next + 1)
      next = start + length
      if (length < 0 || next > end) throw tupleError(bytes, message, start - 5, 'cut short')
      starts[column] = start
      ends[column] = next
    } else if (tag === tagNull) {
      starts[column] = nullCell
      next++
    } else if (tag === tagUnchanged) {
      starts[column] = unsentCell
      unsentCount++
      next++
    } else {
      throw tupleError(bytes, message, next, tagProblem(tag))
    }
  }
  cells.unsentCount = unsentCount
  return next
}

function tagProblem(tag: number | undefined): string {
  if (tag === undefined) return 'cut short'
  if (tag === tagBinary) return 'a cell in binary form, which was not asked for'
  return `unknown cell tag 0x${tag.toString(16)}`
}

function tupleError(bytes: DataView, message: number, at: number, what: string): Error {
  return unexpectedMessage(bytes.getUint8(message), at - message, what)
}

/** A `K` tuple carries key columns only; the NULLs at the other places mean "not sent". */
export function keepKeyCells(cells: TupleCells, columns: readonly RelationColumn[]): void {
  for (let place = 0; place < columns.length; place++) {
    if (columns[place]?.isKey !== true) cells.starts[place] = unsentCell
  }
}

/** True when a key column has another value in `after` than in `before`; unsent cells are unchanged. */
export function keyDiffers(
  bytes: DataView,
  keyPlaces: Int32Array,
  before: TupleCells,
  after: TupleCells,
): boolean {
  for (const place of keyPlaces) {
    const from = before.starts[place] as number
    const to = after.starts[place] as number
    if (from === unsentCell || to === unsentCell) continue
    if (from < 0 || to < 0) {
      if (from !== to) return true
      continue
    }
    const length = (before.ends[place] as number) - from
    if ((after.ends[place] as number) - to !== length) return true
    for (let at = 0; at < length; at++) {
      if (bytes.getUint8(from + at) !== bytes.getUint8(to + at)) return true
    }
  }
  return false
}

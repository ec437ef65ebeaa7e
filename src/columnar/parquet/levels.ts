/**
 * Definition and repetition levels of data pages. Spec: parquet-format README.md "Nested Encoding"
 * and "Data Pages"; Encodings.md says that in data page V1 each level block is preceded by its
 * length in 4 bytes.
 */
import { cellState, type Column } from '../column-batch.ts'
import { encodeRleHybrid, rleHybridBound, writeRun, writeVarint } from './rle-hybrid.ts'

/** The level blocks of the rows of one page, and how much of the leaf column those rows hold. */
export interface PageLevels {
  readonly bytes: Uint8Array
  /** Number of levels: `num_values` of the page header, NULLs included. */
  readonly levelCount: number
  /** Leaf values that follow in the page. */
  readonly valueCount: number
}

/** Hands out the levels of a column page by page. `take` is called with ascending row ranges. */
export interface LevelSource {
  /** Levels of rows `[start, end)`; `start` is the previous call's `end`. */
  take(start: number, end: number): PageLevels
}

export function levelSourceOf(column: Column): LevelSource {
  return column.list === undefined ? flatLevels(column) : listLevels(column, column.list)
}

/** Optional column: definition 1 is a value, 0 is NULL. No repetition levels. */
function flatLevels(column: Column): LevelSource {
  const { states } = column
  return {
    take(start, end) {
      const rows = end - start
      if (states === undefined)
        return { bytes: oneRun(1, rows), levelCount: rows, valueCount: rows }
      const groups = (rows + 7) >> 3
      const bytes = new Uint8Array(4 + 5 + groups)
      const from = writeVarint(groups * 2 + 1, bytes, 4)
      const valueCount = packStates(states, { start, end, out: bytes, at: from })
      if (valueCount === rows || valueCount === 0) {
        return { bytes: oneRun(valueCount === 0 ? 0 : 1, rows), levelCount: rows, valueCount }
      }
      const length = from + groups
      writeUint32(length - 4, bytes, 0)
      return { bytes: bytes.subarray(0, length), levelCount: rows, valueCount }
    },
  }
}

/** A level block in which all `count` levels of bit width 1 are `level`. */
function oneRun(level: number, count: number): Uint8Array {
  const bytes = new Uint8Array(4 + 5 + 1)
  const end = writeRun(level, count, { bitWidth: 1, out: bytes, at: 4 })
  writeUint32(end - 4, bytes, 0)
  return bytes.subarray(0, end)
}

/** One bit a row, set where the cell is a value. Returns the number of values. */
function packStates(
  states: Uint8Array,
  range: {
    readonly start: number
    readonly end: number
    readonly out: Uint8Array
    readonly at: number
  },
): number {
  const { start, end, out } = range
  let at = range.at
  let valueCount = 0
  for (let row = start; row < end; row += 8) {
    const stop = Math.min(row + 8, end)
    let bits = 0
    for (let cell = row; cell < stop; cell++) {
      if (states[cell] === cellState.value) {
        bits |= 1 << (cell - row)
        valueCount++
      }
    }
    out[at++] = bits
  }
  return valueCount
}

/** Definition levels of an optional list of optional elements. */
const listLevel = { null: 0, empty: 1, nullElement: 2, element: 3 } as const

/** Repetition 0 starts a row, 1 goes on with its list; definition as in `listLevel`. */
function listLevels(column: Column, list: NonNullable<Column['list']>): LevelSource {
  const { states } = column
  const elementStates = list.elements.states
  let nextList = 0
  let nextElement = 0
  return {
    take(start, end) {
      const size = levelsOf(start, end)
      const definitions = new Uint8Array(size)
      const repetitions = new Uint8Array(size)
      let level = 0
      let valueCount = 0
      for (let row = start; row < end; row++) {
        if (states !== undefined && states[row] !== cellState.value) {
          definitions[level++] = listLevel.null
          continue
        }
        const length = list.lengths[nextList++] as number
        if (length === 0) definitions[level++] = listLevel.empty
        for (let element = 0; element < length; element++, nextElement++) {
          const isValue =
            elementStates === undefined || elementStates[nextElement] === cellState.value
          if (isValue) valueCount++
          if (element > 0) repetitions[level] = 1
          definitions[level++] = isValue ? listLevel.element : listLevel.nullElement
        }
      }
      return { bytes: levelBlocks(repetitions, definitions), levelCount: size, valueCount }
    },
  }

  /** One level for each element, and one for each NULL or empty list. */
  function levelsOf(start: number, end: number): number {
    let size = 0
    for (let row = start, at = nextList; row < end; row++) {
      const isValue = states === undefined || states[row] === cellState.value
      size += isValue ? Math.max(1, list.lengths[at++] as number) : 1
    }
    return size
  }
}

/** Repetition levels (bit width 1), then definition levels (bit width 2). */
function levelBlocks(repetitions: Uint8Array, definitions: Uint8Array): Uint8Array {
  const count = repetitions.length
  const out = new Uint8Array(8 + rleHybridBound(count, 1) + rleHybridBound(count, 2))
  const middle = encodeRleHybrid(repetitions, 0, count, { bitWidth: 1, out, at: 4 })
  writeUint32(middle - 4, out, 0)
  const end = encodeRleHybrid(definitions, 0, count, { bitWidth: 2, out, at: middle + 4 })
  writeUint32(end - middle - 4, out, middle)
  return out.subarray(0, end)
}

function writeUint32(value: number, out: Uint8Array, at: number): void {
  out[at] = value & 255
  out[at + 1] = (value >>> 8) & 255
  out[at + 2] = (value >>> 16) & 255
  out[at + 3] = value >>> 24
}

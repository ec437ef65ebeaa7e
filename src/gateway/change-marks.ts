/**
 * Which operation, transaction and place in it each row of a change file is. Per row only a byte and
 * an ordinal are noted; what is the same for all rows of a transaction is noted once per transaction
 * and spread over the rows when they are taken.
 */
import { giveBuffer, takeBuffer } from '../columnar/buffer-pool.ts'
import type { ParquetColumn } from '../columnar/parquet-encoder.ts'
import type { Column } from '../columnar/column-batch.ts'
import { commitTimeColumn, opColumn, ordinalColumn, sequenceColumn } from './change-columns.ts'

/** The four words of a transaction that every row of it carries. */
export interface TransactionWords {
  readonly sequenceLow: number
  readonly sequenceHigh: number
  readonly timeLow: number
  readonly timeHigh: number
}

/** Bytes one row holds in the four columns: 5 + 8 + 4 + 8. */
export const markBytes = 25

const initialRows = 1024
const wordsPerRun = 5

export class ChangeMarks {
  #rowCount = 0
  #ops = new Uint8Array(0)
  #ordinals = new Int32Array(0)
  #expectedRows = initialRows
  /** First row, then the four words, of each run of rows of one transaction. */
  #runs: number[] = []

  /** Rows from here on are of this transaction. */
  openRun({ sequenceLow, sequenceHigh, timeLow, timeHigh }: TransactionWords): void {
    this.#runs.push(this.#rowCount, sequenceLow, sequenceHigh, timeLow, timeHigh)
  }

  /** `op` is the letter's character code. */
  append(op: number, ordinal: number): void {
    const row = this.#rowCount++
    if (row === this.#ops.length) this.#grow()
    this.#ops[row] = op
    this.#ordinals[row] = ordinal
  }

  /** `_op`, `_seq`, `_ord`, `_commit_ts`; empty afterwards, but the last run goes on. */
  take(): readonly Column[] {
    const rowCount = this.#rowCount
    const words = (at: number): Uint8Array => spread(this.#runs, at, rowCount)
    const ordinals = new Uint8Array(this.#ordinals.buffer, 0, rowCount * 4)
    const columns = [
      column(opColumn, rowCount, opValues(this.#ops, rowCount)),
      column(sequenceColumn, rowCount, words(1)),
      column(ordinalColumn, rowCount, ordinals),
      column(commitTimeColumn, rowCount, words(3)),
    ]
    // The ordinals went away with their column; the operations were copied.
    giveBuffer(this.#ops.buffer)
    this.#ordinals = new Int32Array(0)
    this.#ops = new Uint8Array(0)
    this.#expectedRows = Math.max(initialRows, rowCount + (rowCount >> 3))
    this.#rowCount = 0
    this.#runs = [0, ...this.#runs.slice(1 - wordsPerRun)]
    return columns
  }

  #grow(): void {
    const room = this.#ops.length === 0 ? this.#expectedRows : this.#ops.length * 2
    const ops = new Uint8Array(takeBuffer(room), 0, room)
    ops.set(this.#ops)
    giveBuffer(this.#ops.buffer)
    this.#ops = ops
    const ordinals = new Int32Array(takeBuffer(room * 4), 0, room)
    ordinals.set(this.#ordinals)
    giveBuffer(this.#ordinals.buffer)
    this.#ordinals = ordinals
  }
}

/** Low word at `at` of each run, high word after it, once per row. */
function spread(runs: readonly number[], at: number, rowCount: number): Uint8Array {
  const words = new Int32Array(takeBuffer(rowCount * 8), 0, rowCount * 2)
  for (let run = 0; run < runs.length; run += wordsPerRun) {
    const low = runs[run + at] ?? 0
    const high = runs[run + at + 1] ?? 0
    const end = runs[run + wordsPerRun] ?? rowCount
    for (let row = runs[run] ?? 0; row < end; row++) {
      words[row * 2] = low
      words[row * 2 + 1] = high
    }
  }
  return new Uint8Array(words.buffer, 0, rowCount * 8)
}

/** Each a string of one character: length 1 in four bytes, then the character. */
function opValues(ops: Uint8Array, rowCount: number): Uint8Array {
  const values = new Uint8Array(takeBuffer(rowCount * 5), 0, rowCount * 5)
  for (let row = 0, to = 0; row < rowCount; row++, to += 5) {
    values[to] = 1
    values[to + 1] = values[to + 2] = values[to + 3] = 0
    values[to + 4] = ops[row] ?? 0
  }
  return values
}

function column({ name, type }: ParquetColumn, rowCount: number, values: Uint8Array): Column {
  return {
    name,
    type,
    rowCount,
    values,
    valueCount: rowCount,
    states: undefined,
    nullCount: 0,
    absentCount: 0,
  }
}

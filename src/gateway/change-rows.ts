/**
 * Rows of one table under one snapshot and one schema version, on their way to a change file: the
 * table's columns plus `_op`, `_seq`, `_ord`, `_commit_ts`, once a cell was absent `_absent`, and
 * once a cell was unfit `_unfit`.
 */
import {
  ArrayBuilder,
  createColumnBuilder,
  finishBatch,
  Int32Builder,
  type ColumnBuilder,
} from '../columnar/column-builder.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { ChangeOp, RowTarget } from '../source/change-sink.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { absentColumn, tableColumns } from './change-columns.ts'
import { unfitCells } from './unfit-cells.ts'
import { ChangeMarks, markBytes } from './change-marks.ts'
import { RowSize } from './row-size.ts'

/** The open transaction as the rows need it; one object for all tables, changed in place. */
export interface TransactionCursor {
  sequence: bigint
  sequenceLow: number
  sequenceHigh: number
  timeLow: number
  timeHigh: number
  /** Of the next row; dense over all tables of the transaction. */
  ordinal: number
  /** Bytes in the builders of all tables. */
  openBytes: number
  /** When `openBytes` reaches this, `onFull` is called. */
  fullBytes: number
  readonly onFull: () => void
}

/** What a data file needs to know of the rows taken out. */
export interface TakenRows {
  readonly batch: ColumnBatch
  readonly hasAbsent: boolean
  readonly hasUnfit: boolean
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly minSequence: bigint
  readonly maxSequence: bigint
}

const insertOp = 'i'.charCodeAt(0)
const updateOp = 'u'.charCodeAt(0)
const deleteOp = 'd'.charCodeAt(0)

export class ChangeRows implements RowTarget {
  readonly columns: readonly ColumnBuilder[]
  readonly #cursor: TransactionCursor
  readonly #marks = new ChangeMarks()
  readonly #size: RowSize
  /** Absent cells per column so far, to see which ones the last row added. */
  readonly #absentBefore: Int32Array
  #absent: ArrayBuilder | undefined
  #rowCount = 0
  #bytes = 0
  #currentOp = 0
  #previousOp = 0
  #inserts = 0
  #updates = 0
  #deletes = 0
  #minSequence = -1n
  #maxSequence = -1n

  constructor(schema: TableSchema, cursor: TransactionCursor) {
    this.columns = tableColumns(schema).map(({ name, type }) => createColumnBuilder(name, type))
    this.#cursor = cursor
    this.#size = new RowSize(this.columns)
    this.#absentBefore = new Int32Array(this.columns.length)
  }

  get rowCount(): number {
    return this.#rowCount
  }

  /** To be called when rows of a transaction may follow; cheap to repeat. */
  openTransaction(): void {
    const { sequence } = this.#cursor
    if (this.#rowCount === 0) this.#minSequence = sequence
    if (this.#maxSequence !== sequence) this.#marks.openRun(this.#cursor)
    this.#maxSequence = sequence
  }

  startRow(op: ChangeOp): void {
    this.#previousOp = this.#currentOp
    this.#currentOp = op.charCodeAt(0)
  }

  endRow(): void {
    const cursor = this.#cursor
    const op = this.#currentOp
    this.#marks.append(op, cursor.ordinal++)
    this.#rowCount++
    if (op === insertOp) this.#inserts++
    else if (op === updateOp) this.#updates++
    else this.#deletes++
    // Only a `u`, a `d`, and an `i` right after its `d` may have absent cells.
    if (op !== insertOp || this.#previousOp === deleteOp) this.#noteAbsent()
    else this.#absent?.appendNull()
    const absentBytes = this.#absent === undefined ? 0 : this.#absent.byteLength + this.#rowCount
    const bytes = this.#size.bytes(this.#rowCount) + this.#rowCount * markBytes + absentBytes
    cursor.openBytes += bytes - this.#bytes
    this.#bytes = bytes
    if (cursor.openBytes >= cursor.fullBytes) cursor.onFull()
  }

  /** The rows so far; none are left afterwards. `columns` stay the same objects. */
  take(): TakenRows | undefined {
    if (this.#rowCount === 0) return undefined
    const absent = this.#absent
    const { columns, rowCount, byteLength } = finishBatch(this.columns)
    const unfit = unfitCells(columns, rowCount)
    const marks = this.#marks.take()
    const taken: TakenRows = {
      batch: {
        columns: [
          ...columns,
          ...marks,
          ...(absent === undefined ? [] : [absent.finish()]),
          ...(unfit === undefined ? [] : [unfit]),
        ],
        rowCount,
        byteLength: byteLength + rowCount * markBytes,
      },
      hasAbsent: absent !== undefined,
      hasUnfit: unfit !== undefined,
      inserts: this.#inserts,
      updates: this.#updates,
      deletes: this.#deletes,
      minSequence: this.#minSequence,
      maxSequence: this.#maxSequence,
    }
    this.#cursor.openBytes -= this.#bytes
    this.#bytes = this.#rowCount = this.#inserts = this.#updates = this.#deletes = 0
    this.#minSequence = this.#maxSequence
    this.#absent = undefined
    this.#absentBefore.fill(0)
    return taken
  }

  #noteAbsent(): void {
    const columns = this.columns
    const before = this.#absentBefore
    let found = 0
    for (let i = 0; i < columns.length; i++) {
      const count = columns[i]?.absentCount ?? 0
      if (count === before[i]) continue
      before[i] = count
      if (found++ === 0 && this.#absent === undefined) this.#absent = this.#emptyAbsent()
      const { elements } = this.#absent as ArrayBuilder
      if (elements instanceof Int32Builder) elements.append(i)
    }
    if (found > 0) this.#absent?.endArray(found)
    else this.#absent?.appendNull()
  }

  /** NULL for every row before the present one. */
  #emptyAbsent(): ArrayBuilder {
    const builder = new ArrayBuilder(absentColumn.name, absentColumn.type)
    for (let row = 1; row < this.#rowCount; row++) builder.appendNull()
    return builder
  }
}

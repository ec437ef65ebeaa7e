/**
 * Rows of one table under one snapshot and one schema version, on their way to a change file: the
 * table's columns plus `_op`, `_seq`, `_ord`, `_commit_ts` and, once a cell was absent, `_absent`.
 */
import {
  ArrayBuilder,
  BytesBuilder,
  createColumnBuilder,
  finishBatch,
  Int32Builder,
  Int64Builder,
  type ColumnBuilder,
} from '../columnar/column-builder.ts'
import type { ColumnBatch } from '../columnar/column-batch.ts'
import type { ChangeOp, RowTarget } from '../source/change-sink.ts'
import type { TableSchema } from '../source/table-schema.ts'
import {
  absentColumn,
  commitTimeColumn,
  opColumn,
  ordinalColumn,
  sequenceColumn,
  tableColumns,
} from './change-columns.ts'
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
  readonly inserts: number
  readonly updates: number
  readonly deletes: number
  readonly minSequence: bigint
  readonly maxSequence: bigint
}

const opBytes = Buffer.from('iudr')
const opIndex: Readonly<Record<ChangeOp, number>> = { i: 0, u: 1, d: 2, r: 3 }

export class ChangeRows implements RowTarget {
  readonly columns: readonly ColumnBuilder[]
  readonly #cursor: TransactionCursor
  readonly #op = new BytesBuilder(opColumn.name, opColumn.type)
  readonly #sequence = new Int64Builder(sequenceColumn.name, sequenceColumn.type)
  readonly #ordinal = new Int32Builder(ordinalColumn.name, ordinalColumn.type)
  readonly #time = new Int64Builder(commitTimeColumn.name, commitTimeColumn.type)
  readonly #size: RowSize
  /** Absent cells per column so far, to see which ones the last row added. */
  readonly #absentBefore: Int32Array
  #absent: ArrayBuilder | undefined
  #rowCount = 0
  #bytes = 0
  #currentOp = 0
  #previousOp = 0
  readonly #opCounts = new Int32Array(4)
  #minSequence = 0n
  #maxSequence = 0n

  constructor(schema: TableSchema, cursor: TransactionCursor) {
    this.columns = tableColumns(schema).map(({ name, type }) => createColumnBuilder(name, type))
    this.#cursor = cursor
    // Four columns of our own beside the table's: 5 + 9 + 9 + 9 bytes, all of fixed size.
    this.#size = new RowSize([...this.columns, this.#sequence, this.#ordinal, this.#time])
    this.#absentBefore = new Int32Array(this.columns.length)
  }

  get rowCount(): number {
    return this.#rowCount
  }

  /** To be called when the first row of a transaction may follow. */
  openTransaction(): void {
    const { sequence } = this.#cursor
    if (this.#rowCount === 0) this.#minSequence = sequence
    this.#maxSequence = sequence
  }

  startRow(op: ChangeOp): void {
    this.#previousOp = this.#currentOp
    this.#currentOp = opIndex[op]
  }

  endRow(): void {
    const cursor = this.#cursor
    const op = this.#currentOp
    this.#op.append(opBytes, op, op + 1)
    this.#sequence.appendWords(cursor.sequenceLow, cursor.sequenceHigh)
    this.#ordinal.append(cursor.ordinal++)
    this.#time.appendWords(cursor.timeLow, cursor.timeHigh)
    this.#opCounts[op] = (this.#opCounts[op] ?? 0) + 1
    this.#rowCount++
    // Only a `u`, a `d`, and an `i` right after its `d` may have absent cells.
    if (op !== 0 || this.#previousOp === 2) this.#noteAbsent()
    else this.#absent?.appendNull()
    const bytes =
      this.#size.bytes(this.#rowCount) + this.#rowCount * 5 + (this.#absent?.byteLength ?? 0)
    cursor.openBytes += bytes - this.#bytes
    this.#bytes = bytes
    if (cursor.openBytes >= cursor.fullBytes) cursor.onFull()
  }

  /** The rows so far; none are left afterwards. `columns` stay the same objects. */
  take(): TakenRows | undefined {
    if (this.#rowCount === 0) return undefined
    const absent = this.#absent
    const own = [this.#op, this.#sequence, this.#ordinal, this.#time]
    const builders = [...this.columns, ...own, ...(absent === undefined ? [] : [absent])]
    const [inserts = 0, updates = 0, deletes = 0] = this.#opCounts
    const taken: TakenRows = {
      batch: finishBatch(builders),
      hasAbsent: absent !== undefined,
      inserts,
      updates,
      deletes,
      minSequence: this.#minSequence,
      maxSequence: this.#maxSequence,
    }
    this.#cursor.openBytes -= this.#bytes
    this.#bytes = this.#rowCount = 0
    this.#minSequence = this.#maxSequence
    this.#absent = undefined
    this.#opCounts.fill(0)
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

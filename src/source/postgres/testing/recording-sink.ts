/** Sinks for tests: they keep what a source delivers as plain values. */
import {
  finishBatch,
  createColumnBuilder,
  type ColumnBuilder,
} from '../../../columnar/column-builder.ts'
import type { Column } from '../../../columnar/column-batch.ts'
import type {
  ChangeOp,
  ChangeSink,
  RowTarget,
  SnapshotSink,
  TransactionInfo,
} from '../../change-sink.ts'
import type { Position } from '../../source.ts'
import type { SourceTable, TableId } from '../../table-schema.ts'

export type Cell = string | null | undefined
export interface RecordedRow {
  readonly op: ChangeOp
  readonly table: string
  /** By column: text of integers and strings; null, and undefined for absent. */
  readonly cells: readonly Cell[]
}

export interface RecordedTransaction extends TransactionInfo {
  readonly rows: RecordedRow[]
  readonly truncated: TableId[]
  position: Position | undefined
}

/** Cells of int32, int64 and string columns as text; of others as hex. */
export function cellsOf(column: Column): Cell[] {
  const bytes = Buffer.from(column.values)
  let at = 0
  return Array.from({ length: column.rowCount }, (_, row) => {
    const state = column.states?.[row] ?? 0
    if (state !== 0) return state === 1 ? null : undefined
    switch (column.type.kind) {
      case 'int32':
        at += 4
        return String(bytes.readInt32LE(at - 4))
      case 'int64':
        at += 8
        return String(bytes.readBigInt64LE(at - 8))
      case 'string': {
        const length = bytes.readUInt32LE(at)
        at += 4 + length
        return bytes.toString('utf8', at - length, at)
      }
      default:
        throw new RangeError(`a ${column.type.kind} cell is not recorded`)
    }
  })
}

class Rows implements RowTarget {
  columns: readonly ColumnBuilder[]
  readonly ops: ChangeOp[] = []
  readonly #table: SourceTable

  constructor(table: SourceTable) {
    this.#table = table
    this.columns = table.schema.columns.map(({ name, type }) => createColumnBuilder(name, type))
  }

  startRow(op: ChangeOp): void {
    this.ops.push(op)
  }

  endRow(): void {
    for (const column of this.columns) {
      if (column.rowCount !== this.ops.length)
        throw new Error(`column ${column.name} is out of step`)
    }
  }

  take(): RecordedRow[] {
    const ops = this.ops.splice(0)
    const cells = finishBatch(this.columns).columns.map(cellsOf)
    return ops.map((op, row) => ({
      op,
      table: this.#table.name.table,
      cells: cells.map((column) => column[row]),
    }))
  }
}

export class RecordingSink implements ChangeSink {
  readonly transactions: RecordedTransaction[] = []
  readonly heartbeats: Position[] = []
  readonly schemas: SourceTable[] = []
  readonly gaps: { readonly table: TableId; readonly reason: string }[] = []
  /** Called after every commit and heartbeat. */
  onPosition: (position: Position) => void = () => undefined
  /** Called after anything else. */
  onEvent: () => void = () => undefined
  nextPressure: Promise<void> | undefined
  /** The next inside a transaction. */
  pressureInside: Promise<void> | undefined
  #open: RecordedTransaction | undefined
  #rows: Rows | undefined

  #flush(): void {
    if (this.#rows !== undefined) this.#open?.rows.push(...this.#rows.take())
    this.#rows = undefined
  }

  begin(transaction: TransactionInfo): void {
    if (this.#open !== undefined) throw new Error('a transaction is open')
    this.#open = { ...transaction, rows: [], truncated: [], position: undefined }
  }

  rowsFor(table: SourceTable): RowTarget | undefined {
    if (this.#open === undefined) throw new Error('no transaction is open')
    this.#flush()
    this.#rows = new Rows(table)
    return this.#rows
  }

  truncate(tables: readonly TableId[]): void {
    this.#flush()
    this.#open?.truncated.push(...tables)
  }

  commit(position: Position): void {
    this.#flush()
    if (this.#open === undefined) throw new Error('no transaction is open')
    this.#open.position = position
    // Servers before 15 send a transaction also when nothing of it is published.
    if (this.#open.rows.length + this.#open.truncated.length > 0) this.transactions.push(this.#open)
    this.#open = undefined
    this.onPosition(position)
  }

  heartbeat(position: Position): void {
    if (this.#open !== undefined) throw new Error('a heartbeat inside a transaction')
    this.heartbeats.push(position)
    this.onPosition(position)
  }

  schemaChanged(table: SourceTable): void {
    this.#flush()
    this.schemas.push(table)
    this.onEvent()
  }

  gap(table: TableId, reason: string): void {
    this.#flush()
    this.gaps.push({ table, reason })
    this.onEvent()
  }

  pressure(): Promise<void> | undefined {
    const isInside = this.#open !== undefined && this.pressureInside !== undefined
    const pressure = isInside ? this.pressureInside : this.nextPressure
    if (isInside) this.pressureInside = undefined
    else this.nextPressure = undefined
    return pressure
  }
}

export class RecordingSnapshotSink implements SnapshotSink {
  readonly #rows: Rows
  readonly recorded: RecordedRow[] = []

  constructor(table: SourceTable) {
    this.#rows = new Rows(table)
  }

  get columns(): readonly ColumnBuilder[] {
    return this.#rows.columns
  }

  startRow(op: ChangeOp): void {
    this.#rows.startRow(op)
  }

  endRow(): void {
    this.#rows.endRow()
  }

  pressure(): Promise<void> | undefined {
    this.recorded.push(...this.#rows.take())
    return undefined
  }

  rows(): readonly RecordedRow[] {
    this.recorded.push(...this.#rows.take())
    return this.recorded
  }
}

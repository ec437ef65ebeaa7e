/**
 * The seam between a source's decoder and the gateway. Decoders push into it synchronously, in
 * commit order, straight from wire bytes; nothing is built per row.
 */
import type { Column } from '../columnar/column-batch.ts'
import type { ColumnBuilder } from '../columnar/column-builder.ts'
import type { Position } from './source.ts'
import type { SourceTable, TableId, TableSchema } from './table-schema.ts'

/**
 * `r` snapshot row, `i` insert, `u` update, `d` delete. A change of key is a `d` with the old key
 * followed, at the next ordinal of the same transaction, by an `i` with the new row. Only such an
 * `i`, or a `u`, may have absent cells; absent cells of the `i` are those of the row the `d` removed.
 * A `d` carries the key columns; its other cells are absent unless the source sent them.
 */
export type ChangeOp = 'r' | 'i' | 'u' | 'd'

/** Identity of a source transaction; `tag` is opaque outside the source folder (PostgreSQL: xid). */
export interface TransactionInfo {
  readonly tag: number
  /** Where in the log it committed; as opaque as `tag`. Absent when nobody knows any more. */
  readonly place?: bigint
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly commitTimeUs: bigint
}

/**
 * Rows of one table being filled. The decoder calls `startRow`, appends exactly one cell to every
 * builder of `columns` (same order as the schema), then `endRow`.
 */
export interface RowTarget {
  readonly columns: readonly ColumnBuilder[]
  startRow(op: ChangeOp): void
  endRow(): void
}

/** How a table got another schema. */
export type SchemaChange =
  /** Columns changed and no row did; they are the same columns by `SourceColumn.id`. */
  | {
      readonly kind: 'step'
      /** The schema the sink had (`followed`) when this was found out. */
      readonly from: TableSchema
      /**
       * One row each, named as in the new schema: what rows from before have in an added column. An
       * added column without one is NULL there.
       */
      readonly fills: readonly Column[]
    }
  /** Rows may have changed, or nobody can tell; `reason` is for people. */
  | { readonly kind: 'new'; readonly reason: string }

export interface ChangeSink {
  /** A transaction of the source begins. Never nested, and never while `pressure()` is defined. */
  begin(transaction: TransactionInfo): void
  /**
   * Where rows of `table` go in the open transaction; undefined: skip the bytes, nobody wants them.
   * Valid until the next call of any ChangeSink method other than RowTarget's own, or until
   * `pressure()` was awaited; ask again after those. Cheap enough to ask for every run of rows.
   */
  rowsFor(table: SourceTable): RowTarget | undefined
  /** Every row of these tables is gone, at this ordinal of the open transaction. */
  truncate(tables: readonly TableId[]): void
  /** The open transaction is complete; `position` is where reading goes on after it. */
  commit(position: Position): void
  /** No transaction is open and everything before `position` was delivered. */
  heartbeat(position: Position): void
  /**
   * Rows that come from now on have this schema; called between rows, inside or outside a
   * transaction, whenever the stream announces a schema other than the one last announced. Without
   * `change` the table is copied anew as soon as a row of the new schema is to be kept.
   */
  schemaChanged(table: SourceTable, change?: SchemaChange): void
  /**
   * The table as the sink takes its rows now; undefined when it does not keep them. Without the
   * method: what was announced last.
   */
  followed?(table: TableId): SourceTable | undefined
  /**
   * The table can no longer be followed exactly (`reason` is for people): the gateway records a gap
   * and copies it anew.
   */
  gap(table: TableId, reason: string): void
  /** Defined when the sink wants the decoder to pause; it resolves when there is room again. */
  pressure(): Promise<void> | undefined
}

/** Where snapshot rows go. Same contract as RowTarget, op is always `r`. */
export interface SnapshotSink extends RowTarget {
  pressure(): Promise<void> | undefined
}

/** What a source says about a table, in terms every source shares. */
import type { CanonicalType } from '../columnar/canonical-type.ts'

/** Stable over renames (PostgreSQL: the relation oid in decimal). Safe as a folder name. */
export type TableId = string & { readonly brand: 'TableId' }

export interface SourceColumn {
  readonly name: string
  readonly type: CanonicalType
  /** The source's own spelling, `numeric(12,2)`; for people and for noticing a type change. */
  readonly sourceType: string
  readonly nullable: boolean
  /**
   * Stable over renames, another one when a column is dropped and made again (PostgreSQL: attnum in
   * decimal). Absent where the source has none, and in schemas written before it was kept.
   */
  readonly id?: string
}

/**
 * Tells changes that the columns do not show. Texts are the source's own, compared for equality
 * only: when both `file` and `definition` differ, every row may have another value.
 */
export interface TableStorage {
  /** Where the rows lie (PostgreSQL: the relfilenode). */
  readonly file: string
  /** Which statements made the columns what they are (PostgreSQL: attribute numbers and xmins). */
  readonly definition: string
  /** Greatest number a column ever had, dropped ones included; see `SourceColumn.id`. */
  readonly lastColumn: number
  /**
   * What values have beside the rows, by an id, as JSON (PostgreSQL: labels of enums, attributes of
   * composites); absent when there is none. Where one is another, values changed without their rows.
   */
  readonly labels?: string
}

export type RowIdentity = 'key' | 'full-row' | 'insert-only'

export interface TableSchema {
  /** In the source's column order; names are unique ignoring case. */
  readonly columns: readonly SourceColumn[]
  /** Names of the key columns in key order; empty for a table whose rows have none. */
  readonly key: readonly string[]
  /** Absent where the source has none, and in schemas written before it was kept. */
  readonly storage?: TableStorage
  /**
   * How changes say which row they mean. `full-row`: without a key; a `d` carries the whole old row
   * and an update is a `d` and, at the next ordinal, an `i` with the whole new row. `insert-only`:
   * there are only inserts and truncates. Absent: by the key; such a table without a key cannot be
   * captured.
   */
  readonly identity?: RowIdentity
}

/** A table's name in the source. `catalog` is the database; absent for MySQL. */
export interface SourceTableName {
  readonly catalog?: string
  readonly schema: string
  readonly table: string
}

export interface SourceTable {
  readonly id: TableId
  readonly name: SourceTableName
  readonly schema: TableSchema
  /** Its rows lie in other tables, which are parts of it (PostgreSQL: a partitioned table). */
  readonly isPartitioned?: true
  /** The whole that this table is a part of: choosing a schema chooses wholes, not their parts. */
  readonly partOf?: SourceTableName
  /** From the source's own statistics; undefined when it has none yet. */
  readonly estimatedRows: number | undefined
  readonly estimatedBytes: number | undefined
}

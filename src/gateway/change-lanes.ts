/** Where the rows of the next staged commit are gathered: rows of one lane may share a file. */
import type { ChangeFileKey } from './change-files.ts'
import { ChangeRows, type TransactionCursor } from './change-rows.ts'
import type { FollowedTable } from './followed-table.ts'
import type { TableSchema } from '../source/table-schema.ts'

/** Rows of one table under one snapshot and one schema, all after the same point of the snapshot. */
export interface Lane extends ChangeFileKey {
  readonly table: FollowedTable
  readonly rows: ChangeRows
}

export type LaneKey = Pick<Lane, 'table' | 'resumption' | 'version' | 'schema'>

export class ChangeLanes {
  readonly #cursor: TransactionCursor
  #lanes: Lane[] = []
  /** The one used last. */
  #laneOf = new Map<FollowedTable, Lane>()
  /** Of the lanes of the last commit, empty: they know how many rows to make room for. */
  #free = new Map<TableSchema, ChangeRows>()

  constructor(cursor: TransactionCursor) {
    this.#cursor = cursor
  }

  all(): readonly Lane[] {
    return this.#lanes
  }

  /** The rows of all lanes are taken. */
  clear(): void {
    this.#free = new Map(this.#lanes.map(({ schema, rows }) => [schema, rows]))
    this.#lanes = []
    this.#laneOf = new Map()
  }

  /** Cheap for the lane that was asked for last. */
  of(key: LaneKey): Lane {
    const isFor = (lane: Lane): boolean =>
      lane.table === key.table &&
      lane.snapshotId === key.table.snapshotId &&
      lane.version === key.version &&
      lane.resumption === key.resumption
    const last = this.#laneOf.get(key.table)
    if (last !== undefined && isFor(last)) return last
    const lane = this.#lanes.find(isFor) ?? this.#add(key)
    this.#laneOf.set(key.table, lane)
    return lane
  }

  #add(key: LaneKey): Lane {
    const { table, schema } = key
    const ids = { tableId: table.table.id, snapshotId: table.snapshotId }
    const rows = this.#free.get(schema) ?? new ChangeRows(schema, this.#cursor)
    this.#free.delete(schema)
    const lane: Lane = { ...key, ...ids, rows }
    this.#lanes.push(lane)
    return lane
  }
}

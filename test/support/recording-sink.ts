/** A ChangeSink that remembers what it was told, in plain values. */
import { createColumnBuilder } from '../../src/columnar/column-builder.ts'
import type { ChangeOp, ChangeSink, RowTarget } from '../../src/source/change-sink.ts'
import type { SourceTable, TableId } from '../../src/source/table-schema.ts'
import { type CellValue, columnValues } from './column-values.ts'

export type SinkEvent =
  | { readonly kind: 'begin'; readonly xid: number; readonly commitTimeUs: bigint }
  | { readonly kind: 'commit'; readonly position: string }
  | { readonly kind: 'truncate'; readonly tables: readonly string[] }
  | { readonly kind: 'gap'; readonly table: string }
  | {
      readonly kind: 'row'
      readonly table: string
      readonly op: ChangeOp
      readonly cells: CellValue[]
    }

export interface RecordingSink extends ChangeSink {
  readonly events: SinkEvent[]
  /** How often a row target was asked for. */
  targetCount: number
  /** Rows that were started and not ended. */
  openRows(): number
}

/**
 * Every row target is good for one use only, as its contract allows: a target kept too long throws.
 */
export function recordingSink(
  isWanted: (table: SourceTable) => boolean = () => true,
): RecordingSink {
  const events: SinkEvent[] = []
  let generation = 0
  let open = 0
  const stale = (): void => void generation++
  return {
    events,
    targetCount: 0,
    openRows: () => open,
    begin: ({ tag, commitTimeUs }) => {
      stale()
      events.push({ kind: 'begin', xid: tag, commitTimeUs })
    },
    rowsFor(table) {
      stale()
      this.targetCount++
      if (!isWanted(table)) return undefined
      const born = generation
      return rowRecorder(
        table,
        (op, cells) => events.push({ kind: 'row', table: table.name.table, op, cells }),
        (change) => {
          if (born !== generation) throw new Error('a stale row target was used')
          open += change
        },
      )
    },
    truncate: (tables: readonly TableId[]) => {
      stale()
      events.push({ kind: 'truncate', tables })
    },
    commit: (position) => {
      stale()
      events.push({ kind: 'commit', position })
    },
    heartbeat: stale,
    schemaChanged: stale,
    gap: (table) => {
      stale()
      events.push({ kind: 'gap', table })
    },
    pressure: () => undefined,
  }
}

function rowRecorder(
  table: SourceTable,
  record: (op: ChangeOp, cells: CellValue[]) => void,
  touch: (openRows: number) => void,
): RowTarget {
  const columns = table.schema.columns.map(({ name, type }) => createColumnBuilder(name, type))
  let op: ChangeOp = 'r'
  return {
    columns,
    startRow(next) {
      touch(1)
      op = next
    },
    endRow() {
      touch(-1)
      if (columns.some((column) => column.rowCount !== 1)) throw new Error('not one cell a column')
      record(
        op,
        columns.map((column) => columnValues(column.finish())[0] ?? null),
      )
    },
  }
}

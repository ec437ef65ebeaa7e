/** The `_unfit` column of a batch: what the source wrote where a type could not hold it. */
import { ArrayBuilder, type BytesBuilder } from '../columnar/column-builder.ts'
import type { Column } from '../columnar/column-batch.ts'
import { type absentColumn, unfitColumn } from './change-columns.ts'

/** `columns`: those of the table, in its order. undefined when every cell fits. */
export function unfitCells(columns: readonly Column[], rowCount: number): Column | undefined {
  const unfit = columns.flatMap((column, ordinal) =>
    column.unfit === undefined ? [] : [{ ordinal, ...column.unfit, next: 0 }],
  )
  if (unfit.length === 0) return undefined
  const builder = new ArrayBuilder(unfitColumn.name, unfitColumn.type)
  const elements = builder.elements as BytesBuilder
  for (let row = 0; row < rowCount; row++) {
    let count = 0
    for (const cells of unfit) {
      if (cells.rows[cells.next] !== row) continue
      elements.appendText(`${cells.ordinal}:${cells.texts[cells.next++] ?? ''}`)
      count++
    }
    if (count > 0) builder.endArray(count)
    else builder.appendNull()
  }
  return builder.finish()
}

/** A file that has an optional column needs it in every row group: NULL in all rows. */
export function emptyColumn(
  { name, type }: typeof absentColumn | typeof unfitColumn,
  rowCount: number,
): Column {
  const builder = new ArrayBuilder(name, type)
  for (let row = 0; row < rowCount; row++) builder.appendNull()
  return builder.finish()
}

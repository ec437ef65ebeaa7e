/** Rows as an aligned table for a terminal. */
import { formatBytesAsHex, toJsonLine } from '../observe/json-line.ts'
import type { QueryColumn, QueryResult } from './app.ts'
import { countOf, cut, displayWidth, padLeft, padRight, printable } from './text.ts'

export interface TablePrintOptions {
  /** Columns of the terminal; undefined: as wide as it gets. */
  readonly columns: number | undefined
  /** Widest cell; the default leaves a timestamp and a UUID whole. */
  readonly cellColumns?: number
  /** A line with the number of rows at the end. Default true. */
  readonly hasFooter?: boolean
}

const defaultCellColumns = 60
const narrowest = 4
const numberType =
  /^(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|U\w*INT|FLOAT|DOUBLE|DECIMAL|NUMERIC)/i

/** Lines without line feeds. */
export function printTable(result: QueryResult, options: TablePrintOptions): readonly string[] {
  const { columns, rows } = result
  const limit = options.cellColumns ?? defaultCellColumns
  const cells = rows.map((row) => columns.map((_, index) => cut(formatCell(row[index]), limit)))
  const titles = columns.map(({ name }) => cut(printable(name), limit))
  const natural = titles.map((title, index) =>
    Math.max(displayWidth(title), ...widthsOf(cells, index)),
  )
  const widths = fitWidths(natural, options.columns)
  const isNumber = columns.map((column, index) => isNumeric(column, rows, index))
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index] ?? 0
        const pad = isNumber[index] === true ? padLeft : padRight
        return pad(cut(text, width), width)
      })
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '-'.repeat(width)).join('  ')
  const footer = options.hasFooter === false ? [] : [`(${countOf(rows.length, 'row')})`]
  if (columns.length === 0) return footer
  return [line(titles), rule, ...cells.map(line), ...footer]
}

/** Not `Math.max(...cells)`: there may be more rows than a call takes arguments. */
function widthsOf(cells: readonly (readonly string[])[], index: number): [number] {
  let width = 0
  for (const row of cells) width = Math.max(width, displayWidth(row[index] ?? ''))
  return [width]
}

/** Takes from the widest columns until the line fits, as long as every column keeps a few. */
function fitWidths(natural: readonly number[], available: number | undefined): readonly number[] {
  const widths = [...natural]
  if (available === undefined) return widths
  const gaps = 2 * (widths.length - 1)
  let excess = widths.reduce((sum, width) => sum + width, gaps) - available
  while (excess > 0) {
    const widest = Math.max(...widths)
    if (widest <= narrowest) break
    widths[widths.indexOf(widest)] = widest - 1
    excess--
  }
  return widths
}

function isNumeric(
  column: QueryColumn,
  rows: readonly (readonly unknown[])[],
  index: number,
): boolean {
  if (column.type !== undefined) return numberType.test(column.type)
  let found = false
  for (const row of rows) {
    const value = row[index]
    if (value === null || value === undefined) continue
    if (typeof value !== 'number' && typeof value !== 'bigint') return false
    found = true
  }
  return found
}

/** One cell on one line: NULL, exact numbers, bytes as hex, lists and structs as JSON. */
export function formatCell(value: unknown): string {
  if (value === null || value === undefined) return 'NULL'
  if (typeof value === 'string') return printable(value)
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof Uint8Array) return formatBytesAsHex(value)
  if (value instanceof Date) return value.toISOString()
  return printable(toJsonLine(value))
}

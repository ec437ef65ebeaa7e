/**
 * The same rows, once as the source's server says them and once as the independent Delta reader
 * does, brought to one text per row. The one place that knows how the two spell a value.
 */
import { join } from 'node:path'
import type pg from 'pg'
import { readWithReferee, type RefereeCell } from './referee.ts'

/** How a cell is asked for and compared; by the type the Delta reader reports. */
type Spelling = 'text' | 'boolean' | 'float32' | 'float64' | 'date' | 'time' | 'binary'

interface SpelledColumn {
  readonly name: string
  readonly spelling: Spelling
}

export interface RowDifference {
  readonly table: string
  readonly sourceRows: number
  readonly destinationRows: number
  /** Rows of one side that the other lacks; shortened, the first few. */
  readonly onlySource: readonly string[]
  readonly onlyDestination: readonly string[]
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

function spellingOf(name: string, type: string, binary: ReadonlySet<string>): Spelling {
  if (binary.has(name)) return 'binary'
  const bare = /^Nullable\((.*)\)$/.exec(type)?.[1] ?? type
  if (bare === 'Bool') return 'boolean'
  if (bare === 'Float32') return 'float32'
  if (bare === 'Float64') return 'float64'
  if (bare === 'Date32') return 'date'
  if (bare.startsWith('DateTime64')) return 'time'
  return 'text'
}

/** format() calls the type's output function; a cast would strip the padding of char(n). */
function sourceCell({ name, spelling }: SpelledColumn): string {
  const cell = quote(name)
  switch (spelling) {
    case 'boolean':
      return `CASE WHEN ${cell} THEN 'true' WHEN NOT ${cell} THEN 'false' END`
    case 'date':
      return `to_char(${cell}, 'YYYY-MM-DD')`
    case 'time':
      return `to_char(${cell}, 'YYYY-MM-DD HH24:MI:SS.US')`
    case 'binary':
      return `encode(${cell}, 'hex')`
    case 'text':
    case 'float32':
    case 'float64':
      return `CASE WHEN ${cell} IS NOT NULL THEN format('%s', ${cell}) END`
    default:
      return spelling satisfies never
  }
}

function canonicalCell(spelling: Spelling, cell: RefereeCell): string | null {
  if (cell === null) return null
  const text = String(cell)
  if (spelling === 'float32' || spelling === 'float64') {
    const parsed = Number(text.replace(/^(-?)(?:inf|Infinity)$/, '$1Infinity'))
    const value = spelling === 'float32' ? Math.fround(parsed) : parsed
    return Object.is(value, -0) ? '-0' : String(value)
  }
  if (spelling === 'date') {
    // What the reader can show; beyond it both sides say the bound.
    if (text < '1900-01-01') return '1900-01-01'
    return text >= '2300-01-01' ? '2300-01-01' : text
  }
  return text
}

function rowTexts(
  rows: readonly (readonly RefereeCell[])[],
  columns: readonly SpelledColumn[],
): string[] {
  const text = (row: readonly RefereeCell[]): string =>
    JSON.stringify(columns.map(({ spelling }, n) => canonicalCell(spelling, row[n] ?? null)))
  return rows.map(text).toSorted()
}

async function sourceRows(
  client: pg.Client,
  table: string,
  columns: readonly SpelledColumn[],
): Promise<readonly (readonly (string | null)[])[]> {
  await client.query("SET timezone = 'UTC'; SET extra_float_digits = 3")
  const text = `SELECT ${columns.map(sourceCell).join(', ')} FROM ${quote(table)}`
  const { rows } = await client.query<(string | null)[]>({ text, rowMode: 'array' })
  return rows
}

async function binaryColumns(client: pg.Client, table: string): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
     WHERE attrelid = $1::regclass AND atttypid = 'bytea'::regtype AND attnum > 0`,
    [table],
  )
  return rows.map(({ name }) => name)
}

/** Of two sorted lists: what each has more often than the other. */
export function sortedDifference(
  left: readonly string[],
  right: readonly string[],
): { readonly onlyLeft: readonly string[]; readonly onlyRight: readonly string[] } {
  const onlyLeft: string[] = []
  const onlyRight: string[] = []
  for (let l = 0, r = 0; l < left.length || r < right.length;) {
    const [a, b] = [left[l], right[r]]
    if (a !== undefined && a === b) {
      l++
      r++
    } else if (b === undefined || (a !== undefined && a < b)) {
      if (a !== undefined) onlyLeft.push(a)
      l++
    } else {
      onlyRight.push(b)
      r++
    }
  }
  return { onlyLeft, onlyRight }
}

const shorten = (texts: readonly string[]): string[] =>
  texts.slice(0, 5).map((text) => (text.length > 500 ? `${text.slice(0, 500)}…` : text))

/**
 * Compares tables of the schema `public` with the Delta tables of the same names in `folder`, row by
 * row. Nothing may change meanwhile. Returns the tables that differ.
 */
export async function compareWithReferee(
  client: pg.Client,
  tables: readonly string[],
  folder: string,
): Promise<readonly RowDifference[]> {
  const differing: RowDifference[] = []
  for (const table of tables) {
    const binary = await binaryColumns(client, table)
    const read = await readWithReferee(join(folder, table), { hexColumns: binary, saturate: true })
    const names = new Set(binary)
    const columns = read.columns.map(([name, type]): SpelledColumn => ({
      name,
      spelling: spellingOf(name, type, names),
    }))
    const source = rowTexts(await sourceRows(client, table, columns), columns)
    const destination = rowTexts(read.rows, columns)
    const { onlyLeft, onlyRight } = sortedDifference(source, destination)
    if (onlyLeft.length + onlyRight.length === 0) continue
    differing.push({
      table,
      sourceRows: source.length,
      destinationRows: destination.length,
      onlySource: shorten(onlyLeft),
      onlyDestination: shorten(onlyRight),
    })
  }
  return differing
}

/** Rows of a server's table as the exact texts in which the independent reader shows them. */
import type { EmbeddedPostgres } from '../../src/quickstart/embedded-postgres.ts'

type Client = Awaited<ReturnType<EmbeddedPostgres['connect']>>

export type TextRow = readonly (string | null)[]

export interface ServerTable {
  readonly columns: readonly string[]
  /** Sorted by their JSON text. */
  readonly rows: readonly TextRow[]
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** The two write a moment differently; every other type that is used here they write alike. */
function textOf(column: string, type: string): string {
  return type.startsWith('timestamp')
    ? `to_char(${quote(column)}, 'YYYY-MM-DD HH24:MI:SS.US')`
    : `${quote(column)}::text`
}

export async function readServerTable(client: Client, table: string): Promise<ServerTable> {
  const { rows: columns } = await client.query<{ name: string; type: string }>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type
     FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped
     ORDER BY attnum`,
    [quote(table)],
  )
  const { rows } = await client.query<(string | null)[]>({
    text: `SELECT ${columns.map(({ name, type }) => textOf(name, type)).join(', ')} FROM ${quote(table)}`,
    rowMode: 'array',
  })
  return { columns: columns.map(({ name }) => name), rows: sortedRows(rows) }
}

export function sortedRows(rows: readonly TextRow[]): readonly TextRow[] {
  return rows
    .map((row) => ({ row, text: JSON.stringify(row) }))
    .toSorted((a, b) => (a.text < b.text ? -1 : Number(a.text > b.text)))
    .map(({ row }) => row)
}

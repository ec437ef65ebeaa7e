/** Connections for catalog queries: rows by the names of their columns, values as texts. */
import type { PostgresOptions } from './connection-options.ts'
import { WireConnection } from './wire/wire-connection.ts'

/** Values come as the text the server sent; null for NULL. */
export type ControlRow = Readonly<Record<string, string | null>>

export interface ControlConnection {
  readonly processId: number
  readonly isClosed: boolean
  /** Something in between gave the connection a process id of its own. */
  readonly isProxied: boolean
  /**
   * `$1`-style parameters; arrays as `{…}` texts. Statements wait for each other. Rejects with a
   * coded error.
   */
  query(sql: string, parameters?: readonly string[]): Promise<readonly ControlRow[]>
  close(): Promise<void>
}

async function ask(
  connection: WireConnection,
  sql: string,
  parameters: readonly string[],
): Promise<readonly ControlRow[]> {
  const rows: ControlRow[] = []
  let columns: readonly string[] = []
  await connection.rows({ sql, parameters }, 'Asking the source', {
    columns: (names) => (columns = names),
    row: (cells) => {
      rows.push(Object.fromEntries(columns.map((name, place) => [name, cells[place] ?? null])))
    },
  })
  return rows
}

/** Connects, or rejects with a coded error. `settings` are added to those of every session. */
export async function openControl(
  options: PostgresOptions,
  settings: Readonly<Record<string, string>> = {},
): Promise<ControlConnection> {
  const connection = await WireConnection.open(options, { settings })
  let last: Promise<unknown> = Promise.resolve()
  return {
    processId: connection.processId,
    isProxied: connection.isProxied,
    get isClosed() {
      return connection.isClosed
    },
    query: async (sql, parameters = []) => {
      const result = last.then(async () => await ask(connection, sql, parameters))
      last = result.catch(() => undefined)
      return await result
    },
    close: async () => {
      connection.close()
      await Promise.resolve()
    },
  }
}

/** One long-lived control connection that is opened when first needed and again when it broke. */
import { type ControlConnection, type ControlRow, openControl } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'

export interface Control {
  /** One statement after another, in the order of the calls. */
  query(sql: string, parameters?: readonly string[]): Promise<readonly ControlRow[]>
  close(): Promise<void>
}

/** Catalog queries take milliseconds; the server itself ends one that does not. */
const settings = { statement_timeout: '300000' }

export function createControl(options: PostgresOptions): Control {
  let opened: ControlConnection | undefined
  let last: Promise<unknown> = Promise.resolve()

  const query: Control['query'] = async (sql, parameters) => {
    if (opened === undefined || opened.isClosed) opened = await openControl(options, settings)
    return await opened.query(sql, parameters)
  }
  return {
    query: async (sql, parameters) => {
      const result = last.then(async () => await query(sql, parameters))
      last = result.catch(() => undefined)
      return await result
    },
    close: async () => {
      await last
      await opened?.close()
      opened = undefined
    },
  }
}

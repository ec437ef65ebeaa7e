/** Where the log ends now, at a place that a reader of the log is sure to come past. */
import type { Control } from './control.ts'
import { type Lsn, parseLsn } from './lsn.ts'

/**
 * Makes everything in the log before now durable and writes something after it. Without this, what
 * a session has written but not committed may stay in memory for as long as the server is idle, and
 * a reader would never be told that it has passed that place.
 */
export async function pushLog(control: Control): Promise<void> {
  await control.query("SELECT pg_logical_emit_message(true, 'sluice', '')")
}

/** At or after the commit of every change that anybody could see before this call. */
export async function endOfLog(control: Control): Promise<Lsn> {
  // The insert position, because an asynchronous commit is visible before it is written.
  const [row] = await control.query('SELECT pg_current_wal_insert_lsn()::text AS lsn')
  const end = parseLsn(row?.['lsn'] ?? '')
  await pushLog(control)
  return end
}

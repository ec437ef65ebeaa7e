/** Where the log ends now, at a place that a reader of the log is sure to come past. */
import type { Control } from './control.ts'
import { type Lsn, parseLsn } from './lsn.ts'

/**
 * Makes everything in the log before now durable and writes something after it. Without this, what
 * a session has written but not committed may stay in memory for as long as the server is idle, and
 * a reader would never be told that it has passed that place. A standby writes nothing: its log is what the
 * primary made durable.
 */
export async function pushLog(control: Control): Promise<void> {
  await control.query(
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_logical_emit_message(true, 'sluice', '') END",
  )
}

/** At or after the commit of every change that anybody could see before this call. */
export async function endOfLog(control: Control): Promise<Lsn> {
  const end = await insertedTo(control)
  await pushLog(control)
  return end
}

/** No earlier than the commit record of anything that is visible now. */
export async function insertedTo(control: Control): Promise<Lsn> {
  // The insert position, because an asynchronous commit is visible before it is written.
  const [row] = await control.query(
    `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
      ELSE pg_current_wal_insert_lsn() END::text AS lsn`,
  )
  return parseLsn(row?.['lsn'] ?? '')
}

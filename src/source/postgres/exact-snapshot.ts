/**
 * A snapshot that belongs to one exact position: a temporary slot exports it at its consistent
 * point. It shows every transaction that commits before that point and none that commits after.
 *
 * It is made from the log, and a commit is in the log before the server notes its outcome. Whoever
 * read a row of that transaction in between would take it for aborted, and write so into the row,
 * which would be lost at the source itself. So nothing is read before all of them have ended.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { hasCode } from '../../base/errors.ts'
import type { Position } from '../source.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { parseLsn } from './lsn.ts'
import { toPosition } from './position.ts'
import { blockedError } from './replication-slot.ts'
import { isEnded, parsePgSnapshot, type ShownIds } from './snapshot-point.ts'
import { quoteIdentifier, quoteLiteral } from './sql-text.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface ExactSnapshot {
  readonly position: Position
  /** For `SET TRANSACTION SNAPSHOT`, until `close`. */
  readonly snapshotName: string
  close(): Promise<void>
}

/**
 * Waits for the transactions that are running now, at most `timeoutMs`; then SOURCE_SLOT_BLOCKED
 * names their processes. `slotName` must be free; the slot is gone after `close`.
 */
export async function exactSnapshot(
  options: PostgresOptions,
  control: Control,
  slotName: string,
  timeoutMs: number,
): Promise<ExactSnapshot> {
  const connection = await WireConnection.open(options, {
    isReplication: true,
    // It waits for transactions, which the server counts as locks; the limit is `timeoutMs`.
    settings: { lock_timeout: '0' },
  })
  let isLate = false
  const doing = `A snapshot could not be taken within ${timeoutMs} ms`
  const timer = setTimeout(() => {
    isLate = true
    connection.cancel().catch(() => connection.destroy())
  }, timeoutMs)
  try {
    const sql = `CREATE_REPLICATION_SLOT ${quoteIdentifier(slotName)} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`
    const [row] = await connection.query(sql, `making temporary slot "${slotName}"`)
    const snapshotName = row?.[2] ?? ''
    const shown = await shownBy(options, snapshotName)
    while (shown !== undefined && (await isAhead(control, shown))) {
      if (isLate) throw await blockedError(control, doing, undefined)
      await sleep(20)
    }
    return {
      position: toPosition(parseLsn(row?.[1] ?? '')),
      snapshotName,
      close: async () => {
        connection.close()
        await Promise.resolve()
      },
    }
  } catch (error) {
    connection.destroy()
    if (!isLate || hasCode(error, 'SOURCE_SLOT_BLOCKED')) throw error
    throw await blockedError(control, doing, error)
  } finally {
    clearTimeout(timer)
  }
}

/** What the snapshot counts as ended; undefined on a standby, which notes an outcome before it sends it. */
async function shownBy(
  options: PostgresOptions,
  snapshotName: string,
): Promise<ShownIds | undefined> {
  const session = await WireConnection.open(options)
  try {
    const doing = 'looking at a snapshot'
    await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', doing)
    await session.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(snapshotName)}`, doing)
    const [row] = await session.query(
      'SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_snapshot()::text END',
      doing,
    )
    return row?.[0] === null ? undefined : parsePgSnapshot(row?.[0] ?? '')
  } finally {
    session.close()
  }
}

/** True while a transaction that `shown` counts as ended has not ended to everybody. */
async function isAhead(control: Control, shown: ShownIds): Promise<boolean> {
  const [row] = await control.query('SELECT pg_current_snapshot()::text AS now')
  const now = parsePgSnapshot(row?.['now'] ?? '')
  if (now.running.some((id) => isEnded(shown, id))) return true
  for (let id = now.xmax; id < shown.xmax; id++) if (isEnded(shown, id)) return true
  return false
}

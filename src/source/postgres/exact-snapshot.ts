/**
 * A snapshot that belongs to one exact position: a temporary slot exports it at its consistent
 * point. It shows every transaction that commits before that point and none that commits after.
 */
import type { Position } from '../source.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { parseLsn } from './lsn.ts'
import { toPosition } from './position.ts'
import { blockedError } from './replication-slot.ts'
import { quoteIdentifier } from './sql-text.ts'
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
  const timer = setTimeout(() => {
    isLate = true
    connection.cancel().catch(() => connection.destroy())
  }, timeoutMs)
  try {
    const sql = `CREATE_REPLICATION_SLOT ${quoteIdentifier(slotName)} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT`
    const [row] = await connection.query(sql, `making temporary slot "${slotName}"`)
    return {
      position: toPosition(parseLsn(row?.[1] ?? '')),
      snapshotName: row?.[2] ?? '',
      close: async () => {
        connection.close()
        await Promise.resolve()
      },
    }
  } catch (error) {
    connection.destroy()
    if (!isLate) throw error
    throw await blockedError(control, `A snapshot could not be taken within ${timeoutMs} ms`, error)
  } finally {
    clearTimeout(timer)
  }
}

/** Locks of tables: nobody else waits for long when we do, and who holds one is told by name. */
import { SluiceError } from '../../base/errors.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import { sqlStateOf } from './server-error.ts'
import { shownSession } from './shown-session.ts'
import { shownTable } from './sql-text.ts'

/** Modes that keep a reader out, and those that keep out whoever publishes a table. */
const conflicting = {
  read: ['AccessExclusiveLock'],
  publish: [
    'ShareUpdateExclusiveLock',
    'ShareLock',
    'ShareRowExclusiveLock',
    'ExclusiveLock',
    'AccessExclusiveLock',
  ],
} as const

export type LockedFor = keyof typeof conflicting

/** The server gave up waiting for a lock (lock_not_available). */
export function isLockTimeout(error: unknown): boolean {
  return sqlStateOf(error) === '55P03'
}

const holdersSql = `
  WITH RECURSIVE parts (oid) AS (
    SELECT $1::oid UNION SELECT i.inhrelid FROM parts p JOIN pg_inherits i ON i.inhparent = p.oid
  )
  SELECT DISTINCT l.pid::text, l.mode, l.granted, a.usename AS role, a.state,
    date_trunc('second', a.xact_start)::text AS since, coalesce(a.backend_type, '') = 'autovacuum worker' AS is_autovacuum,
    CASE WHEN l.pid IS NULL THEN (SELECT x.gid FROM pg_prepared_xacts x
      WHERE x.transaction::text = split_part(l.virtualtransaction, '/', 2)) END AS prepared
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  WHERE l.locktype = 'relation' AND l.relation IN (SELECT oid FROM parts) AND l.mode = ANY ($2::text[])
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
  ORDER BY l.granted DESC, 1 LIMIT 5`

/**
 * "process 12 (role app, active, since 2026-01-01 10:00:00+00) holds AccessExclusiveLock"; for
 * people. The same words for as long as the same sessions hold it.
 */
export async function describeHolders(
  control: Pick<Control, 'query'>,
  table: TableId,
  wanted: LockedFor,
): Promise<string> {
  const modes = `{${conflicting[wanted].join(',')}}`
  const holders = (await control.query(holdersSql, [table, modes])).map((row) => {
    const does = row['granted'] === 't' ? 'holds' : 'waits for'
    if (row['pid'] === null) return `prepared transaction ${row['prepared']} ${does} ${row['mode']}`
    const role = row['is_autovacuum'] === 't' ? 'autovacuum' : undefined
    return `${shownSession(row, role)} ${does} ${row['mode']}`
  })
  return holders.length === 0 ? 'whoever held it has just let it go' : holders.join(', ')
}

/** `doing`: what the lock was wanted for, in a few words. */
export function lockedError(
  table: Pick<SourceTable, 'name'>,
  doing: string,
  holders: string,
  cause?: unknown,
): SluiceError {
  return new SluiceError(
    'SOURCE_TABLE_LOCKED',
    `${shownTable(table.name)} is locked, so ${doing}: ${holders}`,
    cause === undefined ? {} : { cause },
  )
}

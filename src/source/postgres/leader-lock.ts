/** The lock of a table under which its copy is begun, in the session that leads the copy. */
import { SluiceError } from '../../base/errors.ts'
import type { SourceTable } from '../table-schema.ts'
import type { Control } from './control.ts'
import { quoteTable, shownTable } from './sql-text.ts'
import { describeHolders, isLockTimeout, lockedError } from './table-locks.ts'
import type { WireConnection } from './wire/wire-connection.ts'

/** How long a lock is waited for; others that are to be copied wait meanwhile. */
const lockWaitMs = 1_000

/**
 * Begins the leader's transaction with the table's lock, which comes before the snapshot: what
 * truncates or rewrites a table is not hidden by one. Returns the name. Throws SOURCE_TABLE_LOCKED.
 */
export async function beginLocked(
  control: Control,
  table: SourceTable,
  leader: WireConnection,
): Promise<string> {
  const name = await currentName(control, table)
  await begin(leader, name)
  try {
    await leader.query(lockStatement(table, name), `taking a snapshot of ${name}`)
  } catch (error) {
    if (!isLockTimeout(error)) throw error
    const holders = await describeHolders(control, table.id, 'read')
    throw lockedError(table, 'its copy can not begin', holders, error)
  }
  return name
}

async function begin(leader: WireConnection, name: string): Promise<void> {
  const doing = `taking a snapshot of ${name}`
  await leader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', doing)
  await leader.query(`SET LOCAL lock_timeout = ${lockWaitMs}`, doing)
}

function lockStatement({ isPartitioned }: SourceTable, name: string): string {
  return `LOCK TABLE ${isPartitioned === true ? name : `ONLY ${name}`} IN ACCESS SHARE MODE`
}

/** As `beginLocked`, but waits for nobody; undefined, with nothing open, when it would have to. */
export async function relock(
  control: Control,
  table: SourceTable,
  leader: WireConnection,
): Promise<string | undefined> {
  const name = await currentName(control, table)
  await begin(leader, name)
  try {
    await leader.query(`${lockStatement(table, name)} NOWAIT`, `taking a snapshot of ${name}`)
    return name
  } catch (error) {
    if (!isLockTimeout(error)) throw error
    await leader.query('ROLLBACK', 'waiting for a lock')
    return undefined
  }
}

export function tableMissing(table: SourceTable): SluiceError {
  return new SluiceError(
    'SOURCE_TABLE_MISSING',
    `${shownTable(table.name)} (oid ${table.id}) does not exist any more`,
  )
}

/** The table's name now, quoted: it may have been renamed. */
async function currentName(control: Control, table: SourceTable): Promise<string> {
  const sql = `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::oid`
  const [row] = await control.query(sql, [table.id])
  if (row === undefined) throw tableMissing(table)
  return quoteTable({ schema: row['schema'] ?? '', table: row['name'] ?? '' })
}

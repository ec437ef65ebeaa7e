/** Which log the server has, and whether it still is the one that we read. */
import type { Log } from '../../observe/log.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { formatLsn, type Lsn } from './lsn.ts'
import { expectSameLog, type LogIdentity } from './position.ts'
import { type Continuation, continuationOf } from './timeline.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface ServerState {
  /** `server_version_num`. */
  readonly version: number
  readonly isStandby: boolean
}

/** Asked anew before every session: a standby may have been promoted. */
export async function readServerState(control: Control): Promise<ServerState> {
  const [row] = await control.query(
    `SELECT current_setting('server_version_num') AS version, pg_is_in_recovery() AS is_standby`,
  )
  return { version: Number(row?.['version']), isStandby: row?.['is_standby'] === 't' }
}

export interface IdentifiedLog {
  readonly identity: LogIdentity
  /** The server was promoted, and is on another timeline than the one that was read before. */
  readonly promoted: Continuation | undefined
}

export interface SavedLog {
  readonly identity: LogIdentity
  readonly position: Lsn
}

/** Throws SOURCE_INCARNATION_CHANGED when the log does not go on from what is saved. */
export async function identifyLog(
  options: PostgresOptions,
  slot: string,
  saved: SavedLog | undefined,
  log: Log,
): Promise<IdentifiedLog> {
  const connection = await WireConnection.open(options, { isReplication: true })
  try {
    const [row] = await connection.query('IDENTIFY_SYSTEM', 'identifying the system')
    const [database] = await connection.query(
      'SELECT oid FROM pg_database WHERE datname = current_database()',
    )
    const timeline = row?.[1] ?? ''
    const identity = { system: row?.[0] ?? '', timeline, database: database?.[0] ?? '', slot }
    if (saved === undefined) return { identity, promoted: undefined }
    expectSameLog(saved.identity, identity)
    const from = saved.identity.timeline
    if (from === timeline) return { identity, promoted: undefined }
    // The first timeline of a server has no history.
    const history =
      Number(timeline) < 2
        ? ''
        : await connection.query(`TIMELINE_HISTORY ${timeline}`, 'reading the timeline history')
    const content = typeof history === 'string' ? history : (history[0]?.[1] ?? '')
    const change = { from, to: timeline, history: content, position: saved.position }
    const promoted = continuationOf(change)
    const fields = { from, to: timeline, branchedAt: formatLsn(promoted.branch) }
    log.info('the source was promoted', fields)
    return { identity, promoted }
  } finally {
    connection.close()
  }
}

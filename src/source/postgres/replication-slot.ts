/** The replication slot: made, looked at before every use, dropped. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SteadyClock } from '../../base/clock.ts'
import { hasCode, SluiceError } from '../../base/errors.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import { sqlStateOf } from './server-error.ts'
import { shownSession } from './shown-session.ts'
import { quoteLiteral } from './sql-text.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface SlotState {
  readonly plugin: string
  readonly type: string
  readonly database: string
  /** Process that reads from it. */
  readonly activePid: number | undefined
  /** reserved, extended, unreserved, lost. */
  readonly walStatus: string
  /** Why the server gave it up; undefined while it is good. */
  readonly invalidation: string | undefined
  readonly restartLsn: Lsn | undefined
  readonly confirmedLsn: Lsn | undefined
  /** Bytes that may still be written before the slot is in danger; undefined: no limit. */
  readonly safeBytes: bigint | undefined
  readonly currentLsn: Lsn
  /** Standbys keep a copy of it. */
  readonly isFailover: boolean
}

const slotSql = `
  SELECT s.plugin, s.slot_type, s.database, s.active_pid::text, s.wal_status, s.safe_wal_size::text,
    s.restart_lsn::text, s.confirmed_flush_lsn::text, 
    CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS current_lsn,
    to_jsonb(s) ->> 'invalidation_reason' AS invalidation, to_jsonb(s) ->> 'conflicting' AS conflicting,
    to_jsonb(s) ->> 'failover' AS failover
  FROM pg_replication_slots s WHERE s.slot_name = $1`

function optionalLsn(text: string | null | undefined): Lsn | undefined {
  return text === null || text === undefined ? undefined : parseLsn(text)
}

/** undefined: there is no such slot. */
export async function readSlot(control: Control, name: string): Promise<SlotState | undefined> {
  const [row] = await control.query(slotSql, [name])
  if (row === undefined) return undefined
  const text = (column: string): string | undefined => row[column] ?? undefined
  const pid = text('active_pid')
  const safe = text('safe_wal_size')
  const restartLsn = optionalLsn(row['restart_lsn'])
  return {
    plugin: row['plugin'] ?? '',
    type: row['slot_type'] ?? '',
    database: row['database'] ?? '',
    activePid: pid === undefined ? undefined : Number(pid),
    walStatus: row['wal_status'] ?? 'lost',
    // 16 says conflicting whatever the reason: only removed log leaves no place to restart from.
    invalidation:
      text('invalidation') ??
      (row['conflicting'] === 'true' && restartLsn !== undefined ? 'conflicting' : undefined),
    restartLsn,
    confirmedLsn: optionalLsn(row['confirmed_flush_lsn']),
    safeBytes: safe === undefined ? undefined : BigInt(safe),
    currentLsn: parseLsn(row['current_lsn'] ?? '0/0'),
    isFailover: row['failover'] === 'true',
  }
}

export interface SlotLoss {
  readonly why: string
  readonly remedy: string
}

/** What ends every remedy of a lost log. */
const copyAnew = 'Run: sluice refresh --all --full'

/** By `invalidation_reason` (PostgreSQL documentation, pg_replication_slots), since version 17. */
const losses: Readonly<Record<string, SlotLoss>> = {
  wal_removed: {
    why: 'the server removed log that it needs (wal_removed)',
    remedy: `Raise max_slot_wal_keep_size: ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf(); ${copyAnew}`,
  },
  rows_removed: {
    why: 'the primary removed catalog rows that it needs (rows_removed)',
    remedy: `On the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf(); and let it follow the primary through a physical slot (primary_slot_name). ${copyAnew}`,
  },
  // All that version 16 says.
  conflicting: {
    why: 'the primary removed catalog rows that it needs, or its wal_level was lowered below logical (conflicting)',
    remedy: `On the primary: wal_level = logical. On the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf(); and let it follow the primary through a physical slot (primary_slot_name). ${copyAnew}`,
  },
  wal_level_insufficient: {
    why: 'wal_level was lowered below logical (wal_level_insufficient)',
    remedy: `ALTER SYSTEM SET wal_level = logical; -- on the primary, then restart it. ${copyAnew}`,
  },
  idle_timeout: {
    why: 'nobody read from it for longer than idle_replication_slot_timeout (idle_timeout)',
    remedy: `ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf(); ${copyAnew}`,
  },
}

/** Why nothing can be read from the slot any more; undefined while it can. */
export function slotLoss(slot: SlotState): SlotLoss | undefined {
  const reason = slot.invalidation ?? (slot.walStatus === 'lost' ? 'wal_removed' : undefined)
  if (reason === undefined) return undefined
  return losses[reason] ?? { why: `the server invalidated it (${reason})`, remedy: copyAnew }
}

/** Slot names are random, so whoever made another kind of slot under ours did it by mistake. */
function dropStrangerRemedy(name: string): string {
  return `SELECT pg_drop_replication_slot(${quoteLiteral(name)}); -- then run: sluice refresh --all --full`
}

/** Why a slot of that name cannot be ours, which does not pass by itself; undefined: it can be. */
export function slotStranger(
  name: string,
  { type, plugin, database }: SlotState,
  ours: string,
): SluiceError | undefined {
  if (type === 'logical' && plugin === 'pgoutput' && database === ours) return undefined
  // A physical slot has neither plugin nor database.
  const traits = [
    ...(plugin === '' ? [] : [`plugin ${plugin}`]),
    ...(database === '' ? [] : [`database ${database}`]),
  ]
  const text = `Slot "${name}" exists and is another one: ${[type, ...traits].join(', ')}`
  return new SluiceError('SOURCE_SLOT_TAKEN', text, {
    remedy: dropStrangerRemedy(name),
    retry: 'after-remedy',
  })
}

/** Throws SOURCE_SLOT_TAKEN for a slot of that name that cannot be ours. */
function expectOurKind(name: string, slot: SlotState, database: string): void {
  const stranger = slotStranger(name, slot, database)
  if (stranger !== undefined) throw stranger
}

export interface SlotExpectation {
  readonly name: string
  /** End of the last transaction that is durably staged. */
  readonly position: Lsn
  readonly database: string
  /** The server was a standby of the one that was read before. */
  readonly isPromoted?: boolean
}

/**
 * Proves that everything after `position` can still be read from the slot. Throws SOURCE_LOG_LOST
 * when it is gone, lost or already ahead of us, which it is too after it was made anew.
 */
export function expectSlotReaches(
  slot: SlotState | undefined,
  { name, position, database, isPromoted = false }: SlotExpectation,
): SlotState {
  const lost = (why: string, remedy = copyAnew): SluiceError =>
    new SluiceError('SOURCE_LOG_LOST', `Slot "${name}" does not reach back to us: ${why}`, {
      remedy,
    })
  if (slot === undefined && isPromoted) {
    throw lost(
      'the server was promoted and does not have it, because it was not synchronised before',
      `From version 17 on standbys keep the slot with sync_replication_slots = on, hot_standby_feedback = on, primary_slot_name and a dbname in primary_conninfo there. ${copyAnew}`,
    )
  }
  if (slot === undefined) throw lost('it was dropped')
  expectOurKind(name, slot, database)
  const loss = slotLoss(slot)
  if (loss !== undefined) throw lost(loss.why, loss.remedy)
  if (slot.confirmedLsn === undefined) throw lost('it was never completely made')
  if (slot.confirmedLsn > position) {
    throw lost(
      `it stands at ${formatLsn(slot.confirmedLsn)}, our data ends at ${formatLsn(position)}; somebody advanced it or made it anew`,
    )
  }
  if (slot.currentLsn < position) {
    throw new SluiceError(
      'SOURCE_INCARNATION_CHANGED',
      `The log of the source ends at ${formatLsn(slot.currentLsn)}, before our data at ${formatLsn(position)}`,
    )
  }
  return slot
}

/** Where a slot stands that somebody made for us; throws when nothing can be read from it. */
export function expectOfferedSlot(name: string, slot: SlotState, database: string): Lsn {
  expectOurKind(name, slot, database)
  const why = slotLoss(slot)?.why ?? (slot.confirmedLsn === undefined ? 'it has no position' : '')
  if (slot.confirmedLsn !== undefined && why === '') return slot.confirmedLsn
  const anew = `SELECT pg_drop_replication_slot(${quoteLiteral(name)}), pg_create_logical_replication_slot(${quoteLiteral(name)}, 'pgoutput');`
  throw new SluiceError('SOURCE_LOG_LOST', `Nothing can be read from slot "${name}": ${why}`, {
    remedy: `${anew} -- then: ${copyAnew}`,
  })
}

/** SOURCE_SLOT_TAKEN that says who reads from it. */
export async function takenError(
  control: Control,
  name: string,
  pid: number,
): Promise<SluiceError> {
  const sql = `SELECT application_name AS name, client_addr::text AS address, usename AS role
    FROM pg_stat_activity WHERE pid = $1::int4`
  const [row] = await control.query(sql, [String(pid)])
  const who = `process ${pid} (application ${row?.['name'] ?? 'unknown'}, role ${row?.['role'] ?? 'unknown'}, from ${row?.['address'] ?? 'unknown'})`
  return new SluiceError('SOURCE_SLOT_TAKEN', `Slot "${name}" is read by ${who}`, {
    remedy: `SELECT pg_terminate_backend(${pid}); -- if it is not a gateway of ours on another machine`,
  })
}

/** SOURCE_SLOT_BLOCKED that says what `doing` waits for, and how to go on. */
export async function blockedError(
  control: Control,
  doing: string,
  cause: unknown,
): Promise<SluiceError> {
  const [row] = await control.query('SELECT pg_is_in_recovery() AS is_standby')
  if (row?.['is_standby'] === 't') {
    const message = `${doing}, because the primary has not told the standby which transactions run, or one of them does not end`
    const remedy = 'SELECT pg_log_standby_snapshot(); -- on the primary'
    return new SluiceError('SOURCE_SLOT_BLOCKED', message, { cause, remedy })
  }
  const message = `${doing}, because of ${await describeBlockers(control)}`
  return new SluiceError('SOURCE_SLOT_BLOCKED', message, { cause })
}

/** Sessions that hold up a slot or a snapshot, for people: "process 12 (role app, idle in transaction, …)". */
export async function describeBlockers(control: Control, before?: bigint): Promise<string> {
  const sql = `SELECT pid::text, usename AS role, (now() - xact_start)::text AS age,
      CASE wait_event WHEN 'SyncRep' THEN 'waits for a synchronous standby' ELSE state END AS state
    FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    ORDER BY xact_start LIMIT 5`
  const sessions = (await control.query(sql)).map((row) => shownSession(row))
  const prepared = (
    await control.query('SELECT gid FROM pg_prepared_xacts ORDER BY prepared LIMIT 5')
  ).map((row) => `prepared transaction ${row['gid']}`)
  const all = [...sessions, ...prepared]
  const until = before === undefined ? '' : ` that began before ${before}`
  return all.length === 0 ? `transactions${until} that cannot be seen` : all.join(', ')
}

export interface CreateSlotOptions {
  readonly options: PostgresOptions
  readonly control: Control
  readonly name: string
  /** How long to wait for the transactions that are running now. */
  readonly timeoutMs: number
  /** Asks for a slot that standbys keep a copy of; from version 17 on. */
  readonly isFailover: boolean
}

/** Makes the slot; returns the LSN from which it has everything. */
export async function createSlot(how: CreateSlotOptions): Promise<Lsn> {
  const { options, control, name, timeoutMs, isFailover } = how
  const connection = await WireConnection.open(options, {
    // Waiting for a transaction counts as waiting for a lock: only one of the two limits may hold.
    settings: { statement_timeout: String(timeoutMs), lock_timeout: '0' },
  })
  try {
    const more = isFailover ? ', false, false, true' : ''
    const sql = `SELECT lsn FROM pg_create_logical_replication_slot(${quoteLiteral(name)}, 'pgoutput'${more})`
    const [row] = await connection.query(sql, `making slot "${name}"`)
    return parseLsn(row?.[0] ?? '')
  } catch (error) {
    if (sqlStateOf(error) !== '57014') throw error
    throw await blockedError(
      control,
      `Slot "${name}" could not be made within ${timeoutMs} ms`,
      error,
    )
  } finally {
    connection.close()
  }
}

export interface RemoveLeftSlotOptions {
  readonly control: Control
  readonly clock: SteadyClock
  readonly name: string
  readonly database: string
  /** How long a reader that is just going may still hold it. */
  readonly waitMs: number
  /** How long whoever is making it may still wait for the transactions that run now. */
  readonly makingMs: number
}

/**
 * A slot that exists although nothing was ever read through it, left by a run that was cut off:
 * nobody needs what is behind it, so it is removed, to be made anew. Moving it to now would not do:
 * only making a slot waits for the transactions that run, and one older than the publication, read
 * through the slot, lets the server forget the publication for the rest of that session.
 */
export async function removeLeftSlot(how: RemoveLeftSlotOptions): Promise<void> {
  const slot = await freeSlot(how)
  if (slot !== undefined) await how.control.query('SELECT pg_drop_replication_slot($1)', [how.name])
}

/**
 * Waits until nobody holds the slot. The session of a killed process that was making it goes on
 * waiting for the transactions it found, because a server does not look for its client meanwhile;
 * until it is done the slot has no position.
 */
async function freeSlot(how: RemoveLeftSlotOptions): Promise<SlotState | undefined> {
  const { control, clock, name, database, waitMs, makingMs } = how
  const beganMs = clock.elapsedMs()
  for (;;) {
    const slot = await readSlot(control, name)
    if (slot === undefined) return undefined
    expectOurKind(name, slot, database)
    if (slot.activePid === undefined) return slot
    const limitMs = slot.confirmedLsn === undefined ? Math.max(makingMs, waitMs) : waitMs
    if (clock.elapsedMs() - beganMs >= limitMs)
      throw await takenError(control, name, slot.activePid)
    await sleep(100)
  }
}

/**
 * Waits a little for a reader that is just going. False: there is none. Throws SOURCE_SLOT_TAKEN when
 * it is in use, or is another slot than we make.
 */
export async function dropSlot(control: Control, name: string, database: string): Promise<boolean> {
  const slot = await readSlot(control, name)
  if (slot === undefined) return false
  expectOurKind(name, slot, database)
  for (let attempt = 1; ; attempt++) {
    try {
      await control.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1',
        [name],
      )
      return true
    } catch (error) {
      if (!hasCode(error, 'SOURCE_SLOT_TAKEN') || attempt === 20) throw error
      await sleep(100)
    }
  }
}

/**
 * Failover slots (PostgreSQL 17 and newer): our slot is marked so that standbys keep a copy of it,
 * and what keeps the copy from being of use, or the server from sending, is told.
 */
import type { Log } from '../../observe/log.ts'
import type { Finding } from '../finding.ts'
import type { SourceStall } from '../source.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import type { ServerState } from './log-guard.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import type { SlotState } from './replication-slot.ts'
import { quoteIdentifier, quoteLiteral } from './sql-text.ts'
import { WireConnection } from './wire/wire-connection.ts'

const failoverVersion = 170000

/** A slot on a standby is not copied on to other standbys. */
export function canFailOver({ version, isStandby }: ServerState): boolean {
  return version >= failoverVersion && !isStandby
}

/** Marks a slot that was made without it. What the server does not allow is logged and left. */
export async function markForFailover(
  options: PostgresOptions,
  slot: SlotState & { readonly name: string },
  log: Log,
): Promise<void> {
  if (slot.isFailover || slot.activePid !== undefined) return
  const connection = await WireConnection.open(options, { isReplication: true })
  try {
    const sql = `ALTER_REPLICATION_SLOT ${quoteIdentifier(slot.name)} (FAILOVER true)`
    await connection.query(sql, `marking slot "${slot.name}" for failover`)
    log.info('the replication slot is kept over a failover from now on', { slot: slot.name })
  } catch (error) {
    log.warn('the replication slot could not be marked for failover', {
      slot: slot.name,
      error: String(error),
    })
  } finally {
    connection.close()
  }
}

interface AwaitedSlot {
  readonly name: string
  /** undefined: the standby is there and reads. */
  readonly problem: string | undefined
}

const awaitedSql = `
  SELECT w.name, s.slot_type AS type, s.active, s.wal_status,
    to_jsonb(s) ->> 'invalidation_reason' AS invalidation
  FROM (SELECT trim(BOTH ' "' FROM name) AS name
    FROM unnest(string_to_array(current_setting('synchronized_standby_slots', true), ',')) AS name) AS w
  LEFT JOIN pg_replication_slots s ON s.slot_name = w.name
  WHERE w.name <> ''`

/** Standbys that a failover slot waits for before it sends anything. */
async function awaitedSlots(control: Control): Promise<readonly AwaitedSlot[]> {
  const rows = await control.query(awaitedSql)
  return rows.map((row) => {
    const name = row['name'] ?? ''
    const invalidation = row['invalidation'] ?? (row['wal_status'] === 'lost' ? 'lost' : null)
    const problem =
      row['type'] === null
        ? 'does not exist'
        : row['type'] !== 'physical'
          ? 'is no physical slot'
          : invalidation !== null
            ? `is invalidated (${invalidation})`
            : row['active'] === 't'
              ? undefined
              : 'is read by no standby'
    return { name, problem }
  })
}

/** Decoding stands still by design while one of them is missing; that looks as if nothing changed. */
export async function findStall(
  control: Control,
  slot: Pick<SlotState, 'isFailover'>,
): Promise<SourceStall | undefined> {
  return slot.isFailover ? stallOf(await awaitedSlots(control)) : undefined
}

function stallOf(awaited: readonly AwaitedSlot[]): SourceStall | undefined {
  const bad = awaited.filter(({ problem }) => problem !== undefined)
  if (bad.length === 0) return undefined
  const list = bad.map(({ name, problem }) => `"${name}" ${problem ?? ''}`).join(', ')
  const rest = awaited.filter(({ problem }) => problem === undefined).map(({ name }) => name)
  return {
    code: 'SOURCE_STANDBY_STALL',
    message: `The server sends no changes until its standbys have them, and of synchronized_standby_slots ${list}`,
    remedy: `Start the standby again, or: ALTER SYSTEM SET synchronized_standby_slots = ${quoteLiteral(rest.join(', '))}; SELECT pg_reload_conf();`,
  }
}

/** What a failover would leave of us, as far as the primary can tell. */
export async function failoverFindings(
  control: Control,
  server: ServerState,
  slot: SlotState | undefined,
): Promise<Finding[]> {
  const subject = 'failover'
  const [row] = await control.query(
    `SELECT string_agg(slot_name, ', ' ORDER BY slot_name) AS names FROM pg_replication_slots
      WHERE slot_type = 'physical' AND active AND NOT temporary`,
  )
  const standbys = row?.['names'] ?? undefined
  if (!canFailOver(server)) {
    if (standbys === undefined || server.isStandby) return []
    const message = `Standbys follow through ${standbys}, and a server before version 17 does not copy our slot to them`
    const remedy =
      'After a failover run: sluice refresh --all --full. PostgreSQL 17 and newer keep the slot.'
    return [unmet('warning', 'SOURCE_FAILOVER_UNPREPARED', subject, message, remedy)]
  }
  const awaited = await awaitedSlots(control)
  const stall = slot?.isFailover === false ? undefined : stallOf(awaited)
  if (stall !== undefined) {
    return [unmet('error', stall.code, subject, stall.message, stall.remedy)]
  }
  if (awaited.length === 0 && standbys === undefined) return []
  if (awaited.length === 0) {
    const message = `Standbys follow through ${standbys ?? ''}, and synchronized_standby_slots is empty: after a failover we may have changes that the new primary never had`
    const remedy = `ALTER SYSTEM SET synchronized_standby_slots = ${quoteLiteral(standbys ?? '')}; SELECT pg_reload_conf(); -- on the standby: sync_replication_slots = on, hot_standby_feedback = on, a dbname in primary_conninfo`
    return [unmet('warning', 'SOURCE_FAILOVER_UNPREPARED', subject, message, remedy)]
  }
  if (slot?.isFailover === false) {
    const message = `The slot is not marked for failover (sluice.slot.failover)`
    const remedy = 'Set sluice.slot.failover to true and run the gateway.'
    return [unmet('warning', 'SOURCE_FAILOVER_UNPREPARED', subject, message, remedy)]
  }
  const names = awaited.map(({ name }) => name).join(', ')
  return [
    ok(
      subject,
      `The slot is copied to standbys and waits for ${names}; there it must be "synced AND NOT temporary" in pg_replication_slots`,
    ),
  ]
}

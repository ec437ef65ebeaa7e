/** What is checked of the log: how much of it is kept, our slot, and who holds things up. */
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { Control } from './control.ts'
import type { ManagedService } from './managed-service.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { slotLoss, type SlotState, slotStranger } from './replication-slot.ts'
import { findDanger } from './slot-health.ts'
import { quoteIdentifier, quoteLiteral } from './sql-text.ts'

const leastKeepBytes = 1024 * 1024 * 1024
const leastIdleSeconds = 24 * 3600
const longTransactionSeconds = 300

const retentionSql = `
  SELECT current_setting('max_slot_wal_keep_size', true) AS keep,
    pg_size_bytes(NULLIF(current_setting('max_slot_wal_keep_size', true), '-1'))::text AS keep_bytes,
    (SELECT setting || ' ' || coalesce(unit, '') FROM pg_settings WHERE name = 'idle_replication_slot_timeout') AS idle,
    (SELECT setting::bigint * CASE unit WHEN 'min' THEN 60 ELSE 1 END FROM pg_settings
      WHERE name = 'idle_replication_slot_timeout')::text AS idle_seconds`

const longTransactionsSql = `
  SELECT pid::text, usename AS role, state, extract(epoch FROM now() - xact_start)::bigint::text AS seconds
  FROM pg_stat_activity
  WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    AND xact_start < now() - make_interval(secs => $1::int4)
  ORDER BY xact_start LIMIT 10`

export async function retentionFindings(
  control: Control,
  service: ManagedService,
): Promise<Finding[]> {
  const [row] = await control.query(retentionSql)
  return row === undefined ? [] : [keepFinding(row, service), ...idleFindings(row, service)]
}

function keepFinding(row: ControlRow, service: ManagedService): Finding {
  const subject = 'max_slot_wal_keep_size'
  const keep = row['keep'] ?? ''
  const limit = row['keep_bytes']
  const isUnlimited = limit === null || limit === undefined
  if (!isUnlimited && Number(limit) >= leastKeepBytes) return ok(subject, keep)
  const message = isUnlimited
    ? 'There is no limit: while nobody reads, the log may fill the disk of the server'
    : `It is ${keep}: the log may be gone before it is read`
  // Services set it in megabytes; with a unit where ALTER SYSTEM is run.
  const value = service.kind === 'own' ? '64GB' : '65536'
  const remedy = service.settingRemedy(subject, value, false)
  return unmet('warning', 'SOURCE_LOG_RETENTION', subject, message, remedy)
}

function idleFindings(row: ControlRow, service: ManagedService): Finding[] {
  const subject = 'idle_replication_slot_timeout'
  const idle = Number(row['idle_seconds'] ?? 0)
  if (idle <= 0 || idle >= leastIdleSeconds) return []
  const message = `It is ${row['idle']}: a gateway that stands still for longer loses its slot`
  const value = service.kind === 'own' ? '2d' : String(2 * 24 * 3600)
  const remedy = service.settingRemedy(subject, value, false)
  return [unmet('warning', 'SOURCE_LOG_RETENTION', subject, message, remedy)]
}

export async function transactionFindings(control: Control): Promise<Finding[]> {
  const rows = await control.query(longTransactionsSql, [String(longTransactionSeconds)])
  const held = rows.map((row) =>
    unmet(
      'warning',
      'SOURCE_SLOT_BLOCKED',
      'long-running transactions',
      `Process ${row['pid']} (role ${row['role']}, ${row['state']}) has written in a transaction that is ${row['seconds']} s old; a slot or a copy waits for its end`,
      `SELECT pg_terminate_backend(${row['pid']});`,
    ),
  )
  const prepared = await control.query(
    'SELECT gid, database FROM pg_prepared_xacts WHERE database = current_database() LIMIT 10',
  )
  for (const row of prepared) {
    held.push(
      unmet(
        'warning',
        'SOURCE_SLOT_BLOCKED',
        'prepared transactions',
        `Prepared transaction ${row['gid']} is open; a slot or a copy waits for its end`,
        `ROLLBACK PREPARED ${quoteLiteral(row['gid'] ?? '')};`,
      ),
    )
  }
  if (held.length > 0) return held
  const [who] = await control.query(
    "SELECT current_user AS role, pg_has_role('pg_read_all_stats', 'USAGE') AS sees_all",
  )
  const hint =
    who?.['sees_all'] === 't'
      ? 'none'
      : `none of our own; those of others are shown after GRANT pg_read_all_stats TO ${quoteIdentifier(who?.['role'] ?? '')};`
  return [ok('long-running transactions', hint)]
}

export async function slotFinding(
  control: Control,
  slotName: string,
  { slot, database }: { readonly slot: SlotState | undefined; readonly database: string },
): Promise<Finding> {
  const subject = 'replication slot'
  if (slot === undefined) return ok(subject, `Slot "${slotName}" will be made`)
  const stranger = slotStranger(slotName, slot, database)
  if (stranger !== undefined) {
    const { code, message, remedy, retry } = stranger
    return { ...unmet('error', code, subject, message, remedy), retry }
  }
  const loss = slotLoss(slot)
  if (loss !== undefined) {
    const message = `Slot "${slotName}" is of no use: ${loss.why}`
    return unmet('error', 'SOURCE_LOG_LOST', subject, message, loss.remedy)
  }
  const danger = await findDanger(control, slotName, slot)
  if (danger !== undefined) {
    return unmet('warning', danger.code, subject, danger.message, danger.remedy)
  }
  return ok(subject, `Slot "${slotName}" is ${slot.walStatus}`)
}

/** Of names that we make up: what they begin with for every slot of a gateway. */
const ownName = /^(sluice_.+_)[0-9a-f]{8}$/

/**
 * Slots that a gateway of the same name left behind, as when its staging volume was lost: nobody
 * reads them, and the server keeps its log for them. Another installation may be theirs, so a person
 * decides.
 */
export async function leftSlotFindings(
  control: Control,
  slotName: string,
): Promise<readonly Finding[]> {
  const stem = ownName.exec(slotName)?.[1]
  if (stem === undefined) return []
  const rows = await control.query(
    `SELECT slot_name, confirmed_flush_lsn::text AS confirmed,
        to_jsonb(s) ->> 'inactive_since' AS inactive_since
      FROM pg_replication_slots s
      WHERE starts_with(slot_name, $1) AND slot_name <> $2 AND NOT active
        AND database = current_database() ORDER BY slot_name`,
    [stem, slotName],
  )
  return rows.flatMap((row) => {
    const name = row['slot_name'] ?? ''
    return ownName.exec(name)?.[1] === stem ? [leftSlotFinding(name, row)] : []
  })
}

function leftSlotFinding(name: string, row: ControlRow): Finding {
  const confirmed = row['confirmed'] ?? ''
  const since = row['inactive_since'] ?? ''
  // Servers before 17 do not say since when.
  const unread = since === '' ? 'nobody reads it now' : `nobody has read it since ${since}`
  const place = confirmed === '' ? '' : ` and it was confirmed up to ${confirmed}`
  const slot = quoteLiteral(name)
  return unmet(
    'warning',
    'SOURCE_SLOT_LEFT_BEHIND',
    'replication slot',
    `Slot "${name}" may be another data folder's, whose gateway has the same name, or may be left behind: ${unread}${place}; the server keeps log for it`,
    [
      "-- First see whether another data folder's gateway reads it; its place then moves on:",
      `SELECT active, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = ${slot};`,
      '-- Only if no data folder needs it:',
      `SELECT pg_drop_replication_slot(${slot});`,
    ].join('\n'),
  )
}

/** What the server has to offer, all at once: the value found and the statement that mends it. */
import { asSluiceError } from '../../base/errors.ts'
import { errorTable, type ErrorCode } from '../../base/error-codes.ts'
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { shownAddress, shownHosts } from './hosts.ts'
import { makeForRoleStatements } from './publication.ts'
import { dropStrangerRemedy, readSlot, slotLoss } from './replication-slot.ts'
import { quoteIdentifier } from './sql-text.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface PrerequisiteContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly slotName: string
  readonly publicationName: string
}

const leastVersion = 130000
const goodVersion = 140000
const leastKeepBytes = 1024 * 1024 * 1024
const leastIdleSeconds = 24 * 3600
const longTransactionSeconds = 300

const serverSql = `
  SELECT current_setting('server_version_num') AS version_num, current_setting('server_version') AS version,
    pg_is_in_recovery() AS is_standby, current_setting('wal_level') AS wal_level,
    current_setting('max_replication_slots') AS max_slots,
    (SELECT count(*) FROM pg_replication_slots)::text AS slots,
    (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1)::text AS own_slots,
    current_setting('max_wal_senders') AS max_senders,
    (SELECT count(*) FROM pg_stat_replication)::text AS senders,
    (SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
      WHERE s.slot_name = $1)::text AS own_senders,
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user)
      OR EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(oid, 'USAGE'))
      AS can_replicate,
    current_user AS role, current_database() AS database,
    has_database_privilege(current_database(), 'CREATE') AS can_create,
    (SELECT count(*) FROM pg_publication WHERE pubname = $2)::text AS publications,
    current_setting('max_slot_wal_keep_size', true) AS keep,
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

function ok(subject: string, message: string): Finding {
  return { severity: 'ok', subject, message }
}

function unmet(
  severity: 'warning' | 'error',
  code: ErrorCode,
  subject: string,
  message: string,
  remedy: string,
): Finding {
  return { severity, code, subject, message, remedy }
}

function versionFinding(row: ControlRow): Finding {
  const version = Number(row['version_num'])
  const text = `PostgreSQL ${row['version']}`
  const subject = 'server version'
  if (row['is_standby'] === 't') {
    const message = `${text} is a standby`
    return unmet('error', 'SOURCE_VERSION_UNSUPPORTED', subject, message, 'Connect to the primary.')
  }
  if (version >= goodVersion) return ok(subject, text)
  const tooOld = version < leastVersion
  return unmet(
    tooOld ? 'error' : 'warning',
    'SOURCE_VERSION_UNSUPPORTED',
    subject,
    tooOld ? `${text} is too old` : `${text} works, but copies each table in one piece`,
    'Upgrade the server to PostgreSQL 14 or newer.',
  )
}

function walLevelFinding(row: ControlRow): Finding {
  const level = row['wal_level'] ?? ''
  if (level === 'logical') return ok('wal_level', level)
  const remedy = 'ALTER SYSTEM SET wal_level = logical; -- then restart the server'
  return unmet('error', 'SOURCE_WAL_LEVEL', 'wal_level', `It is ${level}`, remedy)
}

function capacityFindings(row: ControlRow): Finding[] {
  const count = (name: string): number => Number(row[name])
  const capacity = (subject: string, used: number, own: number, most: number): Finding => {
    const message = `${used} of ${most} in use`
    if (own > 0 || used < most) return ok(subject, message)
    const remedy = `ALTER SYSTEM SET ${subject} = ${most + 5}; -- then restart the server`
    return unmet('error', 'SOURCE_NO_FREE_SLOT', subject, message, remedy)
  }
  return [
    capacity('max_replication_slots', count('slots'), count('own_slots'), count('max_slots')),
    capacity('max_wal_senders', count('senders'), count('own_senders'), count('max_senders')),
  ]
}

function roleFindings(row: ControlRow, publicationName: string): Finding[] {
  const role = quoteIdentifier(row['role'] ?? '')
  const findings: Finding[] = []
  findings.push(
    row['can_replicate'] === 't'
      ? ok('replication', `Role ${role} may replicate`)
      : unmet(
          'error',
          'SOURCE_REPLICATION_DENIED',
          'replication',
          `Role ${role} may not replicate`,
          `ALTER ROLE ${role} REPLICATION;`,
        ),
  )
  if (row['publications'] !== '0') {
    findings.push(ok('publication', `Publication "${publicationName}" exists`))
  } else if (row['can_create'] === 't') {
    findings.push(ok('publication', `Publication "${publicationName}" will be made`))
  } else {
    const message = `Publication "${publicationName}" does not exist, and role ${role} may not make it`
    const remedy = makeForRoleStatements(publicationName, row['role'] ?? '')
    findings.push(unmet('error', 'SOURCE_PUBLICATION_MISSING', 'publication', message, remedy))
  }
  return findings
}

function retentionFindings(row: ControlRow): Finding[] {
  const findings: Finding[] = []
  const keep = row['keep'] ?? ''
  const keepRemedy = `ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf();`
  const limit = row['keep_bytes']
  if (limit === null || limit === undefined) {
    const message = 'There is no limit: while nobody reads, the log may fill the disk of the server'
    findings.push(
      unmet('warning', 'SOURCE_LOG_RETENTION', 'max_slot_wal_keep_size', message, keepRemedy),
    )
  } else if (Number(limit) < leastKeepBytes) {
    const message = `It is ${keep}: the log may be gone before it is read`
    findings.push(
      unmet('warning', 'SOURCE_LOG_RETENTION', 'max_slot_wal_keep_size', message, keepRemedy),
    )
  } else {
    findings.push(ok('max_slot_wal_keep_size', keep))
  }
  const idle = Number(row['idle_seconds'] ?? 0)
  if (idle > 0 && idle < leastIdleSeconds) {
    findings.push(
      unmet(
        'warning',
        'SOURCE_LOG_RETENTION',
        'idle_replication_slot_timeout',
        `It is ${row['idle']}: a gateway that stands still for longer loses its slot`,
        `ALTER SYSTEM SET idle_replication_slot_timeout = '2d'; SELECT pg_reload_conf();`,
      ),
    )
  }
  return findings
}

async function transactionFindings(control: Control): Promise<Finding[]> {
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
    const gid = (row['gid'] ?? '').replaceAll("'", "''")
    held.push(
      unmet(
        'warning',
        'SOURCE_SLOT_BLOCKED',
        'prepared transactions',
        `Prepared transaction ${row['gid']} is open; a slot or a copy waits for its end`,
        `ROLLBACK PREPARED '${gid}';`,
      ),
    )
  }
  return held.length > 0 ? held : [ok('long-running transactions', 'none')]
}

async function slotFinding(context: PrerequisiteContext): Promise<Finding> {
  const { control, slotName, options } = context
  const slot = await readSlot(control, slotName)
  const subject = 'replication slot'
  if (slot === undefined) return ok(subject, `Slot "${slotName}" will be made`)
  if (slot.type !== 'logical' || slot.plugin !== 'pgoutput' || slot.database !== options.database) {
    const message = `Slot "${slotName}" is ${slot.type}, plugin ${slot.plugin}, database ${slot.database}`
    const remedy = dropStrangerRemedy(slotName)
    return unmet('error', 'SOURCE_SLOT_TAKEN', subject, message, remedy)
  }
  const loss = slotLoss(slot)
  if (loss !== undefined) {
    const message = `Slot "${slotName}" is of no use: ${loss}`
    const remedy = errorTable.SOURCE_LOG_LOST.remedy
    return unmet('error', 'SOURCE_LOG_LOST', subject, message, remedy)
  }
  return ok(subject, `Slot "${slotName}" is ${slot.walStatus}`)
}

/** A replication session needs an entry of its own in pg_hba.conf and no pooler in between. */
async function replicationFinding(options: PostgresOptions): Promise<Finding> {
  try {
    const connection = await WireConnection.open(options, { isReplication: true })
    connection.close()
    return ok('replication connection', `${shownAddress(connection.address)} accepts it`)
  } catch (error) {
    const { code, message, remedy } = asSluiceError(error)
    return unmet('error', code, 'replication connection', message, remedy)
  }
}

/** Findings about the server; one finding when it cannot be reached at all. */
export async function checkServer(context: PrerequisiteContext): Promise<readonly Finding[]> {
  const { control, slotName, publicationName, options } = context
  let row: ControlRow | undefined
  try {
    ;[row] = await control.query(serverSql, [slotName, publicationName])
  } catch (error) {
    const { code, message, remedy } = asSluiceError(error)
    return [unmet('error', code, 'connection', message, remedy)]
  }
  if (row === undefined) return []
  // An older server lacks the views that the other questions are put to.
  if (Number(row['version_num']) < leastVersion) return [versionFinding(row)]
  const capacity = capacityFindings(row)
  return [
    ok('connection', `${shownHosts(options)}, database ${options.database}`),
    versionFinding(row),
    walLevelFinding(row),
    ...capacity,
    ...roleFindings(row, publicationName),
    ...(row['can_replicate'] === 't' && capacity.every(({ severity }) => severity === 'ok')
      ? [await replicationFinding(options)]
      : []),
    await slotFinding(context),
    ...retentionFindings(row),
    ...(await transactionFindings(control)),
  ]
}

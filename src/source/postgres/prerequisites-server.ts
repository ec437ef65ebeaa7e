/** What is checked of the server as a whole: version, log level, encoding, room for us. */
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { ManagedService } from './managed-service.ts'
import { ok, unmet } from './prerequisite-finding.ts'

export const leastVersion = 130000
const goodVersion = 140000
/** From here on a standby can decode its log. */
const standbyVersion = 160000
/** The first that no release of ours has been tested with. */
const unknownVersion = 190000

/** `$1`: our slot. One row, asked once for all that is checked here. */
export const serverSql = `
  SELECT current_setting('server_version_num') AS version_num, current_setting('server_version') AS version,
    pg_is_in_recovery() AS is_standby, current_setting('wal_level') AS wal_level,
    (SELECT pending_restart FROM pg_settings WHERE name = 'wal_level') AS wal_level_pending,
    current_setting('server_encoding') AS encoding,
    current_setting('output_plugin_libraries', true) AS plugins,
    current_setting('max_replication_slots') AS max_slots,
    (SELECT count(*) FROM pg_replication_slots)::text AS slots,
    (SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1)::text AS own_slots,
    current_setting('max_wal_senders') AS max_senders,
    (SELECT count(*) FROM pg_stat_replication)::text AS senders,
    (SELECT count(*) FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid
      WHERE s.slot_name = $1)::text AS own_senders`

export function versionFinding(row: ControlRow): Finding {
  const version = Number(row['version_num'])
  const text = `PostgreSQL ${row['version']}`
  const subject = 'server version'
  const code = 'SOURCE_VERSION_UNSUPPORTED'
  if (row['is_standby'] === 't') {
    const remedy = 'Connect to the primary; standbys of PostgreSQL 16 and newer can be read.'
    return version < standbyVersion
      ? unmet('error', code, subject, `${text} is a standby`, remedy)
      : ok(subject, `${text}, a standby`)
  }
  const upgrade = 'Upgrade the server to PostgreSQL 14 or newer.'
  if (version < leastVersion) {
    return unmet('error', code, subject, `${text} is too old`, upgrade)
  }
  if (version < goodVersion) {
    const message = `${text} works, but copies each table in one piece`
    return unmet('warning', code, subject, message, upgrade)
  }
  if (version >= unknownVersion) {
    const message = `${text} is newer than those this release was tested with, 13 to 18`
    return unmet('warning', code, subject, message, 'Upgrade Sluice, or watch the first days.')
  }
  return ok(subject, text)
}

export function walLevelFinding(row: ControlRow, service: ManagedService): Finding {
  const level = row['wal_level'] ?? ''
  const subject = 'wal_level'
  if (level === 'logical') return ok(subject, level)
  if (row['wal_level_pending'] === 't') {
    const message = `It is ${level}, and another value waits for a restart`
    return unmet('error', 'SOURCE_WAL_LEVEL', subject, message, 'Restart the server.')
  }
  const message = `It is ${level}, and a change takes a restart`
  return unmet('error', 'SOURCE_WAL_LEVEL', subject, message, service.walLevelRemedy)
}

/** A security setting of the newest minor versions lists the plugins that may decode. */
export function pluginFindings(row: ControlRow, service: ManagedService): Finding[] {
  const list = row['plugins']
  if (list === undefined || list === null) return []
  const names = list.split(',').map((name) => name.trim().replaceAll('"', ''))
  const subject = 'output_plugin_libraries'
  if (names.includes('pgoutput') || names.includes('*')) return [ok(subject, list)]
  const value = [...names.filter((name) => name !== ''), 'pgoutput'].join(', ')
  const message = `It is "${list}": the server does not let pgoutput decode its log`
  return [
    unmet(
      'error',
      'SOURCE_PLUGIN_REFUSED',
      subject,
      message,
      service.settingRemedy(subject, value, false),
    ),
  ]
}

export function encodingFinding(row: ControlRow): Finding {
  const encoding = row['encoding'] ?? ''
  const subject = 'encoding'
  if (encoding === 'UTF8') return ok(subject, encoding)
  if (encoding !== 'SQL_ASCII') return ok(subject, `${encoding}, converted to UTF8 by the server`)
  const message =
    'The database is SQL_ASCII: its texts may be in any encoding, and one that is not UTF8 stops its table'
  const remedy =
    "Move the database into one with an encoding (pg_dump, CREATE DATABASE … ENCODING 'UTF8', restore), or make sure that all clients write UTF8."
  return unmet('warning', 'SOURCE_ENCODING', subject, message, remedy)
}

export function capacityFindings(row: ControlRow, service: ManagedService): Finding[] {
  const count = (name: string): number => Number(row[name])
  const capacity = (subject: string, used: number, own: number, most: number): Finding => {
    const message = `${used} of ${most} in use`
    if (own > 0 || used < most) return ok(subject, message)
    const remedy = service.settingRemedy(subject, String(most + 5), true)
    return unmet('error', 'SOURCE_NO_FREE_SLOT', subject, message, remedy)
  }
  return [
    capacity('max_replication_slots', count('slots'), count('own_slots'), count('max_slots')),
    capacity('max_wal_senders', count('senders'), count('own_senders'), count('max_senders')),
  ]
}

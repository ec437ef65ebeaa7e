/** What is checked of a standby that is read instead of its primary. */
import type { Finding } from '../finding.ts'
import type { Control } from './control.ts'
import { ok, unmet } from './prerequisite-finding.ts'

export async function standbyFindings(control: Control): Promise<Finding[]> {
  const [row] = await control.query(
    `SELECT pg_is_in_recovery() AS is_standby, current_setting('hot_standby_feedback') AS feedback,
      current_setting('primary_slot_name') AS slot`,
  )
  if (row?.['is_standby'] !== 't') return []
  const findings: Finding[] = []
  const code = 'SOURCE_STANDBY_UNPREPARED'
  if (row['feedback'] !== 'on') {
    const message =
      'It is off: the primary removes catalog rows that our slot needs, and the slot is lost'
    const remedy =
      'On the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf();'
    findings.push(unmet('warning', code, 'hot_standby_feedback', message, remedy))
  }
  if (row['slot'] === '') {
    const message =
      'It is empty: while the standby is away the primary removes catalog rows that our slot needs, and the slot is lost'
    const remedy =
      "SELECT pg_create_physical_replication_slot('standby1'); -- on the primary; then on the standby:\nALTER SYSTEM SET primary_slot_name = 'standby1'; SELECT pg_reload_conf();"
    findings.push(unmet('warning', code, 'primary_slot_name', message, remedy))
  }
  return findings.length > 0 ? findings : [ok('standby', `feedback through slot ${row['slot']}`)]
}

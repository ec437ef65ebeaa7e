/** What is checked of the role that we log in as. */
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { ManagedService } from './managed-service.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { createStatement } from './publication.ts'
import { onPrimary, quoteIdentifier } from './sql-text.ts'

/** `$1`: our publication. */
export const roleSql = `
  SELECT current_user AS role, session_user AS login,
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = session_user)
      OR EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(session_user, oid, 'USAGE'))
      AS can_replicate,
    has_database_privilege(current_database(), 'CREATE') AS can_create, current_database() AS database,
    pg_is_in_recovery() AS is_standby, current_setting('server_version_num') AS version,
    (SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
      AND p.proname = 'pg_logical_emit_message' AND p.proargtypes[2] = 'text'::regtype
      AND NOT has_function_privilege(p.oid, 'EXECUTE')) AS withheld,
    (SELECT count(*) FROM pg_publication WHERE pubname = $1)::text AS publications`

export function roleFindings(
  row: ControlRow,
  publicationName: string,
  service: ManagedService,
): Finding[] {
  const role = quoteIdentifier(row['role'] ?? '')
  const login = row['login'] ?? ''
  const shown = quoteIdentifier(login)
  const replication =
    row['can_replicate'] === 't'
      ? ok('replication', `Role ${shown} may replicate`)
      : unmet(
          'error',
          'SOURCE_REPLICATION_DENIED',
          'replication',
          `Role ${shown} may not replicate`,
          service.replicationRemedy(login),
        )
  const subject = 'publication'
  const rights = [replication, ...withheldFindings(row['withheld'] ?? undefined, role)]
  if (row['publications'] !== '0') {
    return [...rights, ok(subject, `Publication "${publicationName}" exists`)]
  }
  const isStandby = row['is_standby'] === 't'
  if (row['can_create'] === 't' && !isStandby) {
    return [...rights, ok(subject, `Publication "${publicationName}" will be made`)]
  }
  const message = `Publication "${publicationName}" does not exist, and ${isStandby ? 'on a standby none can be made' : `role ${role} may not make it`}`
  const statement = createStatement(publicationName, [], 'everything', Number(row['version']))
  const remedy = isStandby ? onPrimary(statement) : statement
  return [...rights, unmet('error', 'SOURCE_PUBLICATION_MISSING', subject, message, remedy)]
}

/** Everybody has the right to it unless it was taken away; places in the log are marked by it. */
function withheldFindings(functions: string | undefined, role: string): readonly Finding[] {
  if (functions === undefined) return []
  return [
    unmet(
      'error',
      'SOURCE_PERMISSION_DENIED',
      'log messages',
      `Role ${role} may not call ${functions}`,
      `GRANT EXECUTE ON FUNCTION ${functions} TO ${role};`,
    ),
  ]
}

/** What is checked of the role that we log in as. */
import type { Finding } from '../finding.ts'
import type { ControlRow } from './connect.ts'
import type { ManagedService } from './managed-service.ts'
import { ok, unmet } from './prerequisite-finding.ts'
import { makeForRoleStatements } from './publication.ts'
import { quoteIdentifier } from './sql-text.ts'

/** `$1`: our publication. */
export const roleSql = `
  SELECT current_user AS role, session_user AS login,
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = session_user)
      OR EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication' AND pg_has_role(session_user, oid, 'USAGE'))
      AS can_replicate,
    has_database_privilege(current_database(), 'CREATE') AS can_create, current_database() AS database,
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
  if (row['publications'] !== '0') {
    return [replication, ok(subject, `Publication "${publicationName}" exists`)]
  }
  if (row['can_create'] === 't') {
    return [replication, ok(subject, `Publication "${publicationName}" will be made`)]
  }
  const message = `Publication "${publicationName}" does not exist, and role ${role} may not make it`
  const remedy = makeForRoleStatements(publicationName, row['role'] ?? '')
  return [replication, unmet('error', 'SOURCE_PUBLICATION_MISSING', subject, message, remedy)]
}

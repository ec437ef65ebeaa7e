/** Why a server, or what stands before it, would not let us in; with what lets us in. */
import { SluiceError } from '../../../base/errors.ts'
import type { PasswordRefusals } from '../password-refusals.ts'
import { fromServerError, type ServerError } from '../server-error.ts'
import { quoteIdentifier } from '../sql-text.ts'

export interface StartupContext {
  /** For the message: "connecting to db:5432 as …". */
  readonly doing: string
  readonly user: string
  readonly database: string
  readonly isReplication: boolean
  readonly refusals: Pick<PasswordRefusals, 'refused'>
}

export function startupError(error: ServerError, context: StartupContext): SluiceError {
  const known = fromServerError(error, context.doing)
  const user = quoteIdentifier(context.user)
  const database = quoteIdentifier(context.database)
  const as = (code: SluiceError['code'], remedy?: string): SluiceError =>
    new SluiceError(code, known.message, {
      cause: error,
      ...(remedy === undefined ? {} : { remedy }),
    })
  switch (error.sqlState) {
    // Poolers know few start-up parameters and say so with a protocol violation.
    case '08P01':
      return as('SOURCE_POOLER')
    case '42501':
      return context.isReplication
        ? as('SOURCE_REPLICATION_DENIED', `ALTER ROLE ${user} REPLICATION;`)
        : as('SOURCE_PERMISSION_DENIED', `GRANT CONNECT ON DATABASE ${database} TO ${user};`)
    case '28P01':
      return new SluiceError(known.code, known.message, {
        cause: error,
        remedy: `Correct the password of the connection; or set it at the server: ALTER ROLE ${user} PASSWORD '…';`,
        ...(context.refusals.refused() ? { retry: 'backoff' } : {}),
      })
    case '28000':
      return as(
        known.code,
        `Let the role in, by an entry in pg_hba.conf above others that fit: hostssl ${database} ${user} ADDRESS/32 scram-sha-256 (then SELECT pg_reload_conf();). It has to exist and may log in: ALTER ROLE ${user} LOGIN;`,
      )
    default:
      return known
  }
}

/** A privilege that is missing later on: the role it is to be granted to. */
export function deniedRemedy(user: string): string {
  const role = quoteIdentifier(user)
  return `Grant role ${role} what the message names; if it speaks of row-level security: ALTER ROLE ${role} BYPASSRLS;`
}

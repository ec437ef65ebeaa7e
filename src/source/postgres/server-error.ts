/** Errors of the server and of sockets as coded errors, decided by SQLSTATE, never by text. */
import { SluiceError } from '../../base/errors.ts'
import type { ErrorCode } from '../../base/error-codes.ts'

/** What an ErrorResponse says; details and hints may hold row values and are left out. */
export interface ServerError {
  /** SQLSTATE, five characters (PostgreSQL documentation, appendix A). */
  readonly sqlState: string
  readonly message: string
}

/** SQLSTATE, or its class of two characters → our code. */
const codes: Readonly<Record<string, ErrorCode>> = {
  '08': 'SOURCE_CONNECTION_LOST',
  '22021': 'SOURCE_ENCODING',
  '22P05': 'SOURCE_ENCODING',
  '28': 'SOURCE_AUTHENTICATION_FAILED',
  '3D': 'SOURCE_DATABASE_MISSING',
  '42501': 'SOURCE_PERMISSION_DENIED',
  '42P01': 'SOURCE_TABLE_MISSING',
  '42703': 'SOURCE_TABLE_CHANGED',
  '53300': 'SOURCE_TOO_MANY_CONNECTIONS',
  '53400': 'SOURCE_NO_FREE_SLOT',
  '55006': 'SOURCE_SLOT_TAKEN',
  '55P03': 'SOURCE_TABLE_LOCKED',
  '57P01': 'SOURCE_CONNECTION_LOST',
  '57P02': 'SOURCE_CONNECTION_LOST',
  '57P03': 'SOURCE_UNREACHABLE',
}

/** The SQLSTATE that the error carries, whoever made it; undefined when it has none. */
export function sqlStateOf(error: unknown): string | undefined {
  if (error instanceof SluiceError) return sqlStateOf(error.cause)
  if (typeof error !== 'object' || error === null) return undefined
  if ('sqlState' in error && typeof error.sqlState === 'string') return error.sqlState
  if ('code' in error && typeof error.code === 'string' && /^[0-9A-Z]{5}$/.test(error.code)) {
    return error.code
  }
  return undefined
}

/** `doing` says in a few words what was asked of the server. */
export function fromServerError(error: ServerError, doing: string): SluiceError {
  const code = codes[error.sqlState] ?? codes[error.sqlState.slice(0, 2)] ?? 'SOURCE_QUERY_FAILED'
  // Data exceptions and violated constraints quote values of rows.
  const isAboutData = /^2[23]/.test(error.sqlState)
  const said = isAboutData ? 'reports bad data' : `says "${error.message}"`
  const cause = isAboutData ? { sqlState: error.sqlState } : error
  return new SluiceError(code, `${doing}: the server ${said} (SQLSTATE ${error.sqlState})`, {
    cause,
  })
}

const unreachable = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EACCES',
  'ENOENT',
])

/** A failed socket. `established`: it had been of use before. */
export function fromSocketError(error: Error, where: string, established: boolean): SluiceError {
  const reason = 'code' in error && typeof error.code === 'string' ? error.code : ''
  if (isTlsFailure(reason)) {
    return new SluiceError('SOURCE_TLS_FAILED', `TLS to ${where} failed: ${error.message}`, {
      cause: error,
    })
  }
  if (!established || unreachable.has(reason)) {
    return new SluiceError('SOURCE_UNREACHABLE', `${where} cannot be reached: ${describe(error)}`, {
      cause: error,
    })
  }
  return new SluiceError(
    'SOURCE_CONNECTION_LOST',
    `The connection to ${where} broke: ${describe(error)}`,
    { cause: error },
  )
}

/** OpenSSL and certificate errors, as `tls` names them. */
function isTlsFailure(reason: string): boolean {
  return /^(ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA)/.test(
    reason,
  )
}

/** A failed attempt on several addresses has an empty message of its own. */
function describe(error: Error): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return error.errors.map((one) => (one instanceof Error ? one.message : String(one))).join('; ')
  }
  return error.message
}

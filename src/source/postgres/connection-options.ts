/** The options of a PostgreSQL connection, from the texts of a resource file. */
import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { checkServerIdentity, type ConnectionOptions as TlsOptions } from 'node:tls'
import { SluiceError } from '../../base/errors.ts'

/**
 * - `verify-full`: TLS; the certificate is signed by a trusted authority and names the host.
 * - `verify-ca`: TLS; signed by a trusted authority.
 * - `require`: TLS against listeners only: any certificate will do, unless `sslrootcert` is given.
 * - `disable`: no TLS.
 */
export type SslMode = 'verify-full' | 'verify-ca' | 'require' | 'disable'

export interface PostgresOptions {
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  /** undefined: the server must let the user in without one. */
  readonly password: string | undefined
  readonly sslMode: SslMode
  /** PEM; undefined: the authorities that Node trusts. */
  readonly rootCertificate: string | undefined
  readonly connectTimeoutMs: number
}

const known = ['host', 'port', 'database', 'user', 'password', 'sslmode', 'sslrootcert'] as const
const sslModes: readonly SslMode[] = ['verify-full', 'verify-ca', 'require', 'disable']
const connectTimeoutMs = 15_000

function invalid(message: string): SluiceError {
  return new SluiceError('SOURCE_OPTION_INVALID', message)
}

function readRootCertificate(value: string | undefined): string | undefined {
  if (value === undefined || value === '') return undefined
  if (value.includes('-----BEGIN')) return value
  try {
    return readFileSync(value, 'utf8')
  } catch (cause) {
    throw new SluiceError(
      'SOURCE_OPTION_INVALID',
      `The file of option sslrootcert, ${value}, cannot be read`,
      { cause, remedy: 'Give the path of a PEM file, or the PEM text itself.' },
    )
  }
}

/** Throws SOURCE_OPTION_INVALID that names the option. */
export function parsePostgresOptions(options: Readonly<Record<string, string>>): PostgresOptions {
  for (const name of Object.keys(options)) {
    if (!known.some((other) => other === name)) {
      throw invalid(`"${name}" is not an option of a PostgreSQL connection (${known.join(', ')})`)
    }
  }
  const required = (name: 'host' | 'user' | 'database'): string => {
    const value = options[name]
    if (value === undefined || value === '') throw invalid(`Option ${name} is missing`)
    if (value.includes('\0')) throw invalid(`Option ${name} contains a NUL character`)
    return value
  }
  const port = Number(options['port'] ?? '5432')
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw invalid(`Option port is "${options['port']}", not a number from 1 to 65535`)
  }
  const mode = options['sslmode'] ?? 'verify-full'
  const sslMode = sslModes.find((candidate) => candidate === mode)
  if (sslMode === undefined) {
    throw invalid(`Option sslmode is "${mode}", not one of ${sslModes.join(', ')}`)
  }
  return {
    host: required('host'),
    port,
    database: required('database'),
    user: required('user'),
    password: options['password'],
    sslMode,
    rootCertificate: readRootCertificate(options['sslrootcert']),
    connectTimeoutMs,
  }
}

/** What `tls.connect` needs for the mode; not for `disable`. */
export function tlsOptions(options: PostgresOptions): TlsOptions {
  const { sslMode, rootCertificate, host } = options
  return {
    minVersion: 'TLSv1.2',
    // A server certificate without authority proves nothing, so `require` alone does not look at it.
    rejectUnauthorized: sslMode !== 'require' || rootCertificate !== undefined,
    checkServerIdentity: (name, certificate) =>
      sslMode === 'verify-full' ? checkServerIdentity(name, certificate) : undefined,
    ...(rootCertificate === undefined ? {} : { ca: rootCertificate }),
    // Names only: an address in the server name extension is not allowed (RFC 6066 §3).
    ...(isIP(host) === 0 ? { servername: host } : {}),
  }
}

/**
 * Session settings that make every value's text the same wherever it is read, keep long copies
 * alive, and make row-level security fail loudly instead of hiding rows.
 */
export const sessionSettings: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  row_security: 'off',
  // Names of types and tables then come out qualified, whatever the role's own path is.
  search_path: 'pg_catalog',
  // Our own small commits are flushed before their answer, and wait for no standby.
  synchronous_commit: 'local',
  statement_timeout: '0',
  lock_timeout: '30000',
  idle_in_transaction_session_timeout: '0',
  application_name: 'sluice',
}

/** Certificates and keys of a connection, and what `tls.connect` makes of them. */
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'
import {
  checkServerIdentity,
  createSecureContext,
  getCACertificates,
  type ConnectionOptions as TlsOptions,
} from 'node:tls'
import { SluiceError } from '../../base/errors.ts'

/**
 * - `verify-full`: TLS; the certificate is signed by a trusted authority and names the host.
 * - `verify-ca`: TLS; signed by a trusted authority.
 * - `require`: TLS against listeners only: any certificate will do, unless `sslrootcert` is given.
 * - `disable`: no TLS.
 */
export type SslMode = 'verify-full' | 'verify-ca' | 'require' | 'disable'

export interface TlsSettings {
  readonly sslMode: SslMode
  /** `postgres`: asked for with SSLRequest; `direct`: from the first byte on (server 17 or newer). */
  readonly sslNegotiation: 'postgres' | 'direct'
  /** Path or PEM text with one authority or several, or `system`; undefined: those Node trusts. */
  readonly rootCertificate: string | undefined
  /** Path or PEM text: our certificate, followed by those between it and its authority. */
  readonly clientCertificate: string | undefined
  /** Path or PEM text. */
  readonly clientKey: string | undefined
  readonly clientKeyPassword: string | undefined
}

const isPem = (value: string): boolean => value.includes('-----BEGIN')

/** The PEM text, from its file if a path is given: files are read at every connect. */
function pemOf(option: string, value: string): string {
  if (isPem(value)) return value
  let text: string
  try {
    text = readFileSync(value, 'utf8')
  } catch (cause) {
    throw new SluiceError(
      'SOURCE_OPTION_INVALID',
      `The file of option ${option}, ${value}, cannot be read`,
      { cause, remedy: 'Give the path of a PEM file, or the PEM text itself.' },
    )
  }
  if (isPem(text)) return text
  throw new SluiceError(
    'SOURCE_OPTION_INVALID',
    `The file of option ${option}, ${value}, is not in PEM format`,
    { remedy: `openssl x509 -inform der -in ${value} -out ${value}.pem` },
  )
}

/** A private key that others may read proves nothing. */
function expectPrivate(path: string): void {
  if (isPem(path) || process.platform === 'win32') return
  const { mode, uid } = statSync(path)
  // As libpq has it: a key of root may be readable for a group.
  const forbidden = uid === 0 ? 0o027 : 0o077
  if ((mode & forbidden) === 0) return
  throw new SluiceError(
    'SOURCE_OPTION_INVALID',
    `Others than its owner may use the file of option sslkey, ${path}`,
    { remedy: `chmod 0600 ${path}` },
  )
}

type Material = Pick<TlsOptions, 'ca' | 'cert' | 'key' | 'passphrase'>

function material(settings: TlsSettings): Material {
  const { rootCertificate, clientCertificate, clientKey, clientKeyPassword } = settings
  const read: Material = {}
  if (rootCertificate === 'system') read.ca = getCACertificates('system')
  else if (rootCertificate !== undefined) read.ca = pemOf('sslrootcert', rootCertificate)
  if (clientCertificate !== undefined) read.cert = pemOf('sslcert', clientCertificate)
  if (clientKey !== undefined) {
    read.key = pemOf('sslkey', clientKey)
    expectPrivate(clientKey)
  }
  if (clientKeyPassword !== undefined) read.passphrase = clientKeyPassword
  return read
}

/** Throws SOURCE_OPTION_INVALID when a file is missing, a text is no PEM or the key does not fit. */
export function expectTlsSettings(settings: TlsSettings): void {
  const { sslMode, sslNegotiation, clientCertificate, clientKey } = settings
  const refuse = (message: string, cause?: unknown): never => {
    throw new SluiceError('SOURCE_OPTION_INVALID', message, cause === undefined ? {} : { cause })
  }
  if (sslMode === 'disable') {
    if (sslNegotiation === 'direct')
      refuse('Option sslnegotiation is direct, and sslmode is disable')
    return
  }
  if ((clientCertificate === undefined) !== (clientKey === undefined)) {
    refuse('Options sslcert and sslkey belong together, and only one of them is given')
  }
  const read = material(settings)
  try {
    createSecureContext(read)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown reason'
    refuse(
      `Options sslrootcert, sslcert, sslkey and sslpassword cannot be used together: ${reason}`,
      cause,
    )
  }
}

/** What `tls.connect` needs for `host`; not for sslmode `disable`. */
export function tlsOptions(settings: TlsSettings, host: string): TlsOptions {
  const { sslMode, rootCertificate } = settings
  return {
    ...material(settings),
    minVersion: 'TLSv1.2',
    // A server certificate without authority proves nothing, so `require` alone does not look at it.
    rejectUnauthorized: sslMode !== 'require' || rootCertificate !== undefined,
    checkServerIdentity: (name, certificate) =>
      sslMode === 'verify-full' ? checkServerIdentity(name, certificate) : undefined,
    // Servers before 17 do not look at it.
    ALPNProtocols: [applicationProtocol],
    // Names only: an address in the server name extension is not allowed (RFC 6066 §3).
    ...(isIP(host) === 0 ? { servername: host } : {}),
  }
}

/** PostgreSQL's name in application-layer protocol negotiation. */
export const applicationProtocol = 'postgresql'

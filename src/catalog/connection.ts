/** A connection: where a source server is and how to enter it. */
import { SluiceError } from '../base/errors.ts'
import { Secret } from './secret.ts'
import { type Environment, expandTemplate, unsetVariables } from './template.ts'

export type ConnectionType = 'POSTGRESQL'

/** Types that exist but that this version does not read. */
export const laterConnectionTypes = ['MYSQL', 'SQLSERVER'] as const

export const connectionTypes: readonly ConnectionType[] = ['POSTGRESQL']

/**
 * `verify-full`: TLS, certificate and host name proven · `verify-ca`: TLS, certificate proven ·
 * `require`: TLS, nothing proven · `disable`: plain text.
 */
export type SslMode = 'verify-full' | 'verify-ca' | 'require' | 'disable'

export const sslModes: readonly SslMode[] = ['verify-full', 'verify-ca', 'require', 'disable']

/**
 * As it stands in the resource file: text in which `${env.X}` is still a reference, so that the
 * record holds no value of the environment. The password is a Secret even as a reference.
 */
export interface ConnectionOptions {
  readonly host: string
  /** Default 5432. */
  readonly port?: string
  readonly user: string
  readonly password?: Secret
  /** Database used where an object names no `source_catalog`. */
  readonly database?: string
  /** Default `verify-full`. */
  readonly sslmode?: string
  /** Path of a PEM file, or PEM text. */
  readonly sslrootcert?: string
}

/** The record that is deployed and stored. */
export interface Connection {
  readonly name: string
  readonly connectionType: ConnectionType
  readonly comment?: string
  readonly options: ConnectionOptions
}

/** What a source needs to connect. */
export interface ConnectionAddress {
  readonly connectionType: ConnectionType
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password: Secret | undefined
  readonly database: string | undefined
  readonly sslMode: SslMode
  /** Path of a PEM file, or PEM text. */
  readonly sslRootCert: string | undefined
}

/** Plain option texts, the password's included, for looking references up. */
export function optionTemplates(options: ConnectionOptions): ReadonlyMap<string, string> {
  const templates = new Map<string, string>()
  for (const [key, value] of Object.entries(options) as [string, string | Secret | undefined][]) {
    if (value instanceof Secret) templates.set(key, value.reveal())
    else if (value !== undefined) templates.set(key, value)
  }
  return templates
}

/** Fills `${env.X}` in. Throws CONFIG_ENV_UNSET or CONFIG_INVALID_VALUE, never with a value in it. */
export function resolveConnection(connection: Connection, env: Environment): ConnectionAddress {
  const templates = optionTemplates(connection.options)
  for (const [key, template] of templates) {
    const unset = unsetVariables(template, env)[0]
    if (unset !== undefined) {
      throw new SluiceError(
        'CONFIG_ENV_UNSET',
        `connection ${connection.name}: options.${key} refers to ${unset}, which is not set`,
        { remedy: `export ${unset}=...` },
      )
    }
  }
  const text = (key: keyof ConnectionOptions): string | undefined => {
    const template = templates.get(key)
    return template === undefined ? undefined : expandTemplate(template, env)
  }
  const password = text('password')
  return {
    connectionType: connection.connectionType,
    host: text('host') ?? '',
    port: parsePort(text('port') ?? '5432', connection.name),
    user: text('user') ?? '',
    password: password === undefined ? undefined : new Secret(password),
    database: text('database'),
    sslMode: parseSslMode(text('sslmode') ?? 'verify-full', connection.name),
    sslRootCert: text('sslrootcert'),
  }
}

/** undefined when it is not a TCP port. */
export function portFromText(text: string): number | undefined {
  const port = Number(text)
  return /^\d{1,5}$/.test(text) && port >= 1 && port <= 65535 ? port : undefined
}

function parsePort(text: string, name: string): number {
  const port = portFromText(text)
  if (port !== undefined) return port
  throw new SluiceError(
    'CONFIG_INVALID_VALUE',
    `connection ${name}: options.port is not a port number from 1 to 65535`,
  )
}

function parseSslMode(text: string, name: string): SslMode {
  const mode = sslModes.find((known) => known === text)
  if (mode !== undefined) return mode
  throw new SluiceError(
    'CONFIG_INVALID_VALUE',
    `connection ${name}: options.sslmode is none of ${sslModes.join(', ')}`,
  )
}

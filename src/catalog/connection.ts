/** A connection: where a source server is and how to enter it. */
import { SluiceError } from '../base/errors.ts'
import { Secret } from './secret.ts'
import { type Environment, expandTemplate, unsetVariables } from './template.ts'

export type ConnectionType = 'POSTGRESQL'

/** Types that exist but that this version does not read. */
export const laterConnectionTypes = ['MYSQL', 'SQLSERVER'] as const

export const connectionTypes: readonly ConnectionType[] = ['POSTGRESQL']

/** One option of a connection. */
export interface OptionDefinition {
  /** What for, in a line. */
  readonly summary: string
  /** What holds when it is left out, in words. */
  readonly initial: string
  /** A secret even as a reference: sealed at rest, never shown. */
  readonly isSecret?: true
  /** The only values it may have. */
  readonly values?: readonly string[]
}

/**
 * `verify-full`: TLS, certificate and host name proven · `verify-ca`: TLS, certificate proven ·
 * `require`: TLS, nothing proven · `disable`: plain text.
 */
const sslModes = ['verify-full', 'verify-ca', 'require', 'disable'] as const

/** The options of a PostgreSQL connection; names are those of libpq where it has one. */
export const postgresOptions = {
  host: {
    summary:
      'name, address or folder of a Unix socket; several, separated by commas, are tried in order',
    initial: 'required',
  },
  port: { summary: 'one port, or one for each host, separated by commas', initial: '`5432`' },
  user: { summary: 'role to log in as', initial: 'required' },
  database: {
    summary: 'database of objects that name no `source_catalog`',
    initial: 'the `source_catalog` of the objects',
  },
  password: { summary: 'better as `${env.NAME}`', initial: 'none', isSecret: true },
  password_file: {
    summary: 'file that holds the password alone; read at every connect',
    initial: 'none',
  },
  password_command: {
    summary:
      'command line that prints the password; run by the shell at every connect, within `connect_timeout`',
    initial: 'none',
  },
  passfile: {
    summary: 'password file in the format of libpq (`host:port:database:user:password`)',
    initial: '`~/.pgpass` if there is one',
  },
  sslmode: {
    summary:
      '`verify-full` (TLS, certificate and host name proven), `verify-ca` (certificate proven), `require` (TLS, nothing proven unless `sslrootcert` is given), `disable` (plain text)',
    initial: '`verify-full`',
    values: sslModes,
  },
  sslnegotiation: {
    summary: '`direct`: TLS from the first byte on (PostgreSQL 17 or newer)',
    initial: '`postgres`',
    values: ['postgres', 'direct'],
  },
  sslrootcert: {
    summary:
      'authorities that are trusted: path of a PEM file or PEM text, one or several; `system`: those of the machine',
    initial: 'those Node trusts',
  },
  sslcert: {
    summary: 'our own certificate: path or PEM text, followed by intermediate ones',
    initial: 'none',
  },
  sslkey: { summary: 'its private key: path or PEM text', initial: 'none', isSecret: true },
  sslpassword: { summary: 'passphrase of the private key', initial: 'none', isSecret: true },
  channel_binding: {
    summary:
      '`require`: log in only with SCRAM bound to the TLS channel; `prefer`: bound where the server offers it; `disable`',
    initial: '`prefer`',
    values: ['prefer', 'require', 'disable'],
  },
  target_session_attrs: {
    summary:
      'which of the hosts will do: `any`, `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`',
    initial: '`primary` with several hosts, `any` with one',
    values: ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'],
  },
  connect_timeout: { summary: 'seconds for each host, logging in included', initial: '`15`' },
  keepalives_idle: {
    summary: 'seconds of silence after which TCP looks whether the server is there',
    initial: '`30`',
  },
  stall_timeout: {
    summary:
      'seconds of silence in the middle of an answer after which the server is asked, on another connection, whether it works on it; `0`: never',
    initial: '`60`',
  },
  application_name: { summary: 'shown in `pg_stat_activity`', initial: '`sluice`' },
} as const satisfies Record<string, OptionDefinition>

export type PostgresOptionName = keyof typeof postgresOptions

/** Ways to give a password, of which at most one may be used. */
export const passwordOptions = [
  'password',
  'password_file',
  'password_command',
  'passfile',
] as const satisfies readonly PostgresOptionName[]

export const secretOptions = ['password', 'sslkey', 'sslpassword'] as const
type SecretOption = (typeof secretOptions)[number]

/**
 * As it stands in the resource file: text in which `${env.X}` is still a reference, so that the
 * record holds no value of the environment. Secrets are Secrets even as a reference.
 */
export type ConnectionOptions = { readonly host: string; readonly user: string } & {
  readonly [K in Exclude<PostgresOptionName, SecretOption>]?: string
} & { readonly [K in SecretOption]?: Secret }

/** The record that is deployed and stored. */
export interface Connection {
  readonly name: string
  readonly connectionType: ConnectionType
  readonly comment?: string
  readonly options: ConnectionOptions
}

/** What a source needs to connect: the options that are given, references filled in. */
export interface ConnectionAddress {
  readonly connectionType: ConnectionType
  readonly options: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, Secret>>
}

/** Plain option texts, those of secrets included, for looking references up. */
export function optionTemplates(options: ConnectionOptions): ReadonlyMap<string, string> {
  const templates = new Map<string, string>()
  for (const [key, value] of Object.entries(options) as [string, string | Secret | undefined][]) {
    if (value instanceof Secret) templates.set(key, value.reveal())
    else if (value !== undefined) templates.set(key, value)
  }
  return templates
}

/** Fills `${env.X}` in. Throws CONFIG_ENV_UNSET, never with a value in it. */
export function resolveConnection(connection: Connection, env: Environment): ConnectionAddress {
  const options: Record<string, string> = {}
  const secrets: Record<string, Secret> = {}
  for (const [key, template] of optionTemplates(connection.options)) {
    const unset = unsetVariables(template, env)[0]
    if (unset !== undefined) {
      throw new SluiceError(
        'CONFIG_ENV_UNSET',
        `connection ${connection.name}: options.${key} refers to ${unset}, which is not set`,
        { remedy: `export ${unset}=...` },
      )
    }
    const text = expandTemplate(template, env)
    if (secretOptions.some((name) => name === key)) secrets[key] = new Secret(text)
    else options[key] = text
  }
  return { connectionType: connection.connectionType, options, secrets }
}

/** False when an entry of the list is no TCP port. */
export function arePorts(text: string): boolean {
  return text.split(',').every((one) => {
    const port = Number(one)
    return /^\s*\d{1,5}\s*$/.test(one) && port >= 1 && port <= 65535
  })
}

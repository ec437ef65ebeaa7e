/** The options of a PostgreSQL connection, from the texts of a resource file. */
import { type SteadyClock, systemClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import {
  misplacedSecret,
  type ShownOption,
  shownOptionRemedies,
} from '../../base/misplaced-secret.ts'
import { type HostAddress, parseHosts } from './hosts.ts'
import { PasswordRefusals } from './password-refusals.ts'
import { createPasswordSource, type PasswordSource } from './password-source.ts'
import { ServerMemory } from './server-memory.ts'
import { expectTlsSettings, type SslMode, type TlsSettings } from './tls-settings.ts'

/** - `require`: only SCRAM-SHA-256-PLUS, which proves that nobody stands in the middle. */
export type ChannelBinding = 'prefer' | 'require' | 'disable'

/** Which of several servers will do; the words of libpq. */
export type TargetSession =
  | 'any'
  | 'read-write'
  | 'read-only'
  | 'primary'
  | 'standby'
  | 'prefer-standby'

export interface PostgresOptions extends TlsSettings {
  /** In the order in which they are tried; at least one. */
  readonly hosts: readonly HostAddress[]
  readonly targetSession: TargetSession
  readonly database: string
  readonly user: string
  readonly password: PasswordSource
  /** Shared by all connections that are made with these options. */
  readonly refusals: PasswordRefusals
  readonly channelBinding: ChannelBinding
  /** For each host. */
  readonly connectTimeoutMs: number
  /** Silence after which the network looks whether the peer is there. */
  readonly keepaliveIdleMs: number
  /** Silence in the middle of an answer after which we look whether the server works on it; 0: never. */
  readonly stallTimeoutMs: number
  readonly applicationName: string
  /** Shared by all connections that are made with these options. */
  readonly memory: ServerMemory
}

export const postgresOptionNames = [
  'host',
  'port',
  'database',
  'user',
  'password',
  'password_file',
  'password_command',
  'passfile',
  'sslmode',
  'sslnegotiation',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'channel_binding',
  'target_session_attrs',
  'connect_timeout',
  'keepalives_idle',
  'stall_timeout',
  'application_name',
] as const

type OptionName = (typeof postgresOptionNames)[number]
type Texts = Readonly<Record<string, string>>

const sslModes: readonly SslMode[] = ['verify-full', 'verify-ca', 'require', 'disable']
const bindings: readonly ChannelBinding[] = ['prefer', 'require', 'disable']
const sessions: readonly TargetSession[] = [
  'any',
  'read-write',
  'read-only',
  'primary',
  'standby',
  'prefer-standby',
]

function invalid(message: string): SluiceError {
  return new SluiceError('SOURCE_OPTION_INVALID', message)
}

function required(options: Texts, name: OptionName): string {
  const value = options[name]
  if (value === undefined || value === '') throw invalid(`Option ${name} is missing`)
  return value
}

/** They are shown to people and stand in errors. */
function expectNoSecret(options: Texts, name: ShownOption): void {
  const problem = misplacedSecret(name, options[name] ?? '')
  if (problem === undefined) return
  throw new SluiceError('SOURCE_OPTION_INVALID', `Option ${name} ${problem}`, {
    remedy: shownOptionRemedies[name],
  })
}

function oneOf<T extends string>(
  options: Texts,
  name: OptionName,
  values: readonly T[],
  otherwise: T,
): T {
  const text = options[name] ?? otherwise
  const value = values.find((candidate) => candidate === text)
  if (value !== undefined) return value
  throw invalid(`Option ${name} is "${text}", not one of ${values.join(', ')}`)
}

/** Seconds as milliseconds. */
function duration(options: Texts, name: OptionName, otherwise: number, least: number): number {
  const text = options[name]
  if (text === undefined) return otherwise * 1000
  const seconds = Number(text)
  if (/^\d+(\.\d+)?$/.test(text) && seconds >= least && seconds <= 86_400) return seconds * 1000
  throw invalid(`Option ${name} is "${text}", not a number of seconds from ${least} to 86400`)
}

function filled(options: Texts, name: OptionName): string | undefined {
  const value = options[name]
  return value === '' ? undefined : value
}

function tlsSettings(options: Texts): TlsSettings {
  const settings: TlsSettings = {
    sslMode: oneOf(options, 'sslmode', sslModes, 'verify-full'),
    sslNegotiation: oneOf(options, 'sslnegotiation', ['postgres', 'direct'], 'postgres'),
    rootCertificate: filled(options, 'sslrootcert'),
    clientCertificate: filled(options, 'sslcert'),
    clientKey: filled(options, 'sslkey'),
    clientKeyPassword: filled(options, 'sslpassword'),
  }
  expectTlsSettings(settings)
  return settings
}

function passwordSource(options: Texts): PasswordSource {
  const names = ['password', 'password_file', 'password_command', 'passfile'] as const
  const given = names.filter((name) => options[name] !== undefined)
  if (given.length > 1) {
    throw invalid(`Options ${given.join(' and ')} are given; only one can hold the password`)
  }
  return createPasswordSource({
    password: options['password'],
    passwordFile: options['password_file'],
    passwordCommand: options['password_command'],
    passFile: options['passfile'],
  })
}

/** Throws SOURCE_OPTION_INVALID that names the option. */
export function parsePostgresOptions(
  options: Texts,
  clock: SteadyClock = systemClock,
): PostgresOptions {
  for (const [name, value] of Object.entries(options)) {
    if (!postgresOptionNames.some((other) => other === name)) {
      throw invalid(
        `"${name}" is not an option of a PostgreSQL connection (${postgresOptionNames.join(', ')})`,
      )
    }
    if (value.includes('\0')) throw invalid(`Option ${name} contains a NUL character`)
  }
  for (const name of ['host', 'user', 'database'] as const) expectNoSecret(options, name)
  const hosts = parseHosts(required(options, 'host'), options['port'] ?? '5432')
  // A single server is taken as it is, so that it can be said what it lacks.
  const session: TargetSession = hosts.length > 1 ? 'primary' : 'any'
  return {
    hosts,
    targetSession: oneOf(options, 'target_session_attrs', sessions, session),
    database: required(options, 'database'),
    user: required(options, 'user'),
    password: passwordSource(options),
    refusals: new PasswordRefusals(options['password'] === undefined, clock),
    ...tlsSettings(options),
    channelBinding: oneOf(options, 'channel_binding', bindings, 'prefer'),
    connectTimeoutMs: duration(options, 'connect_timeout', 15, 0.1),
    keepaliveIdleMs: duration(options, 'keepalives_idle', 30, 1),
    stallTimeoutMs: duration(options, 'stall_timeout', 60, 0),
    applicationName: filled(options, 'application_name') ?? 'sluice',
    memory: new ServerMemory(),
  }
}

/**
 * Session settings that make every value's text the same wherever it is read, keep long copies
 * alive, and make row-level security fail loudly instead of hiding rows. Sent at start-up, where
 * they win over those of a role or a database.
 */
export const sessionSettings: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  DateStyle: 'ISO, YMD',
  IntervalStyle: 'postgres',
  TimeZone: 'UTC',
  extra_float_digits: '3',
  bytea_output: 'hex',
  xmlbinary: 'base64',
  xmloption: 'content',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
  // Looks at the catalog are short; compiling them takes a hundred times as long.
  jit: 'off',
  row_security: 'off',
  // Names of types and tables then come out qualified, whatever the role's own path is.
  search_path: 'pg_catalog',
  // Our own small commits are flushed before their answer, and wait for no standby.
  synchronous_commit: 'local',
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  statement_timeout: '0',
  lock_timeout: '30000',
  idle_in_transaction_session_timeout: '0',
}

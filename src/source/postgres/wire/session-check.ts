/**
 * The first statement of every session: is it with the server itself, of what kind is the server,
 * and do our settings hold. A pooler that swallows them would have row-level security filter our
 * copies, or dates printed in another order, and nobody would know.
 */
import { SluiceError } from '../../../base/errors.ts'
import { sessionSettings } from '../connection-options.ts'
import type { ServerState } from '../server-memory.ts'

export interface SessionState extends ServerState {
  /** Of the process that answers; a proxy in between may have told another one. */
  readonly processId: number
}

/** Those on which values or the rows that are seen depend, and that read as they are written. */
const checkedSettings = [
  'row_security',
  'search_path',
  'client_encoding',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'extra_float_digits',
  'bytea_output',
  'quote_all_identifiers',
] as const

/** Limits that older servers do not know, so that they cannot be sent at start-up. */
const laterSettings = [
  { name: 'idle_session_timeout', since: 14 },
  { name: 'transaction_timeout', since: 17 },
] as const

/** Functions of pg_catalog by their full names and no operators, whatever the search path is. */
export function sessionSql(serverVersion: string): string {
  const major = Number.parseInt(serverVersion, 10)
  const set = (name: string, value: string): string =>
    `pg_catalog.set_config('${name}', '${value}', false)`
  return `SELECT ${[
    'pg_catalog.pg_backend_pid()',
    'pg_catalog.pg_is_in_recovery()',
    "pg_catalog.current_setting('default_transaction_read_only')",
    "pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())",
    ...checkedSettings.map((name) => `pg_catalog.current_setting('${name}')`),
    // After it was looked at: of a server that is read-only we ask for little, but we do.
    set('default_transaction_read_only', 'off'),
    ...laterSettings.filter(({ since }) => major >= since).map(({ name }) => set(name, '0')),
  ].join(', ')}`
}

/** Throws SOURCE_POOLER when a setting is not what we asked for. */
export function readSessionState(
  row: readonly (string | null)[] | undefined,
  where: string,
): SessionState {
  const [processId, isStandby, readOnly, identity, ...values] = row ?? []
  for (const [place, name] of checkedSettings.entries()) {
    const value = values[place] ?? ''
    if (value === sessionSettings[name]) continue
    throw new SluiceError(
      'SOURCE_POOLER',
      `${where} does not keep the settings of our session: ${name} is "${value}", not "${sessionSettings[name]}"`,
    )
  }
  return {
    processId: Number(processId),
    isStandby: isStandby === 't',
    isReadOnly: readOnly === 'on',
    identity: identity ?? '',
  }
}

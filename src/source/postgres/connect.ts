/** Control connections for catalog queries, through `pg`: same settings and errors as our own. */
import pg from 'pg'
import { SluiceError } from '../../base/errors.ts'
import { type PostgresOptions, sessionSettings, tlsOptions } from './connection-options.ts'
import { fromServerError, fromSocketError } from './server-error.ts'

/** Values come as the text the server sent; null for NULL. */
export type ControlRow = Readonly<Record<string, string | null>>

export interface ControlConnection {
  readonly processId: number
  readonly isClosed: boolean
  /** `$1`-style parameters; arrays as `{…}` texts. Rejects with a coded error. */
  query(sql: string, parameters?: readonly string[]): Promise<readonly ControlRow[]>
  close(): Promise<void>
}

/** The part of pg's connection object that its types leave out. */
interface PgInternals {
  readonly processID: number | null
  readonly connection: {
    prependListener(event: string, listener: () => void): void
    readonly stream: { destroy(error: Error): void; readonly encrypted?: boolean }
  }
}

function place(options: PostgresOptions): string {
  return `${options.host}:${options.port}`
}

/** What pg throws as ours. */
export function fromPgError(error: unknown, options: PostgresOptions, doing: string): SluiceError {
  if (error instanceof SluiceError) return error
  if (error instanceof pg.DatabaseError) {
    return fromServerError({ sqlState: error.code ?? 'XX000', message: error.message }, doing)
  }
  const problem = error instanceof Error ? error : new Error(String(error))
  return fromSocketError(problem, place(options), doing !== connecting)
}

const connecting = 'Connecting'

/** pg has no codes for what goes wrong before the server knows us. */
function fromConnectError(error: unknown, options: PostgresOptions): SluiceError {
  const text = error instanceof Error ? error.message : ''
  const refused = 'The server does not support SSL connections'
  if (text === refused) {
    return new SluiceError(
      'SOURCE_TLS_REFUSED',
      `${place(options)} does not offer TLS, and sslmode is ${options.sslMode}`,
      { cause: error },
    )
  }
  if (error instanceof pg.DatabaseError && error.code === '08P01') {
    return new SluiceError('SOURCE_POOLER', `${place(options)} says "${text}"`, { cause: error })
  }
  if (text.startsWith('SASL:')) {
    return new SluiceError('SOURCE_AUTHENTICATION_FAILED', `${place(options)}: ${text}`, {
      cause: error,
    })
  }
  return fromPgError(error, options, connecting)
}

/** A password in cleartext is for encrypted connections only. */
function refuseCleartext(client: pg.Client, options: PostgresOptions): void {
  const { connection } = client as unknown as PgInternals
  connection.prependListener('authenticationCleartextPassword', () => {
    if (connection.stream.encrypted === true) return
    const message = `${place(options)} asks for a cleartext password without TLS`
    // pg's own listener comes next and writes to a stream that sends nothing any more.
    connection.stream.destroy(new SluiceError('SOURCE_AUTHENTICATION_UNSUPPORTED', message))
  })
}

/** Connects, or rejects with a coded error. */
export async function openControl(options: PostgresOptions): Promise<ControlConnection> {
  const settings = Object.entries(sessionSettings).map(
    ([name, value]) => `-c ${name}=${value.replaceAll(' ', '\\ ')}`,
  )
  const client = new pg.Client({
    host: options.host,
    port: options.port,
    user: options.user,
    database: options.database,
    // A function, because for an empty text pg would look into the environment.
    password: () => options.password ?? '',
    ssl: options.sslMode === 'disable' ? false : tlsOptions(options),
    enableChannelBinding: true,
    connectionTimeoutMillis: options.connectTimeoutMs,
    keepAlive: true,
    options: settings.join(' '),
    types: { getTypeParser: () => (value: unknown) => value },
  })
  let isClosed = false
  client.on('error', () => (isClosed = true))
  client.on('end', () => (isClosed = true))
  refuseCleartext(client, options)
  try {
    await client.connect()
  } catch (error) {
    isClosed = true
    void client.end().catch(() => undefined)
    throw fromConnectError(error, options)
  }
  return {
    processId: (client as unknown as PgInternals).processID ?? 0,
    get isClosed() {
      return isClosed
    },
    query: async (sql, parameters = []) => {
      try {
        const result = await client.query<Record<string, string | null>>(sql, [...parameters])
        return result.rows
      } catch (error) {
        throw fromPgError(error, options, 'Asking the source')
      }
    },
    close: async () => {
      isClosed = true
      await client.end().catch(() => undefined)
    },
  }
}

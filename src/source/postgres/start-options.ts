/** What is asked of pgoutput when streaming begins (PostgreSQL documentation, "Logical Streaming Replication Parameters"). */
import { formatLsn, type Lsn } from './lsn.ts'
import { quoteIdentifier } from './sql-text.ts'

export interface StartOptions {
  /** `server_version_num`. */
  readonly serverVersion: number
  readonly publicationNames: readonly string[]
  /** Transactions may be sent before they commit. */
  readonly withStreaming: boolean
  /** Logical messages are sent too: those of the event triggers, and everybody's. */
  readonly withMessages?: boolean
}

/** Protocol 2 came with server 14 (streaming), 3 with 15 (two-phase), 4 with 16 (parallel apply). */
export function protocolVersion(serverVersion: number): 1 | 2 | 3 | 4 {
  if (serverVersion < 140_000) return 1
  if (serverVersion < 150_000) return 2
  return serverVersion < 160_000 ? 3 : 4
}

/** True when the server can send transactions in progress. */
export function canStream(serverVersion: number): boolean {
  return protocolVersion(serverVersion) >= 2
}

/** True when the server can send logical messages. */
export function canSendMessages(serverVersion: number): boolean {
  return serverVersion >= 140_000
}

/**
 * The parenthesised options of START_REPLICATION. Two-phase decoding stays off: a prepared
 * transaction comes at its commit, like any other.
 */
export function startOptions(options: StartOptions): string {
  // The grammar of replication commands knows no escapes but doubled quotes.
  const quoted = options.publicationNames.map(quoteIdentifier)
  const names = quoted.join(',').replaceAll("'", "''")
  const version = protocolVersion(options.serverVersion)
  const all = [`proto_version '${version}'`, `publication_names '${names}'`]
  if (options.withStreaming && canStream(options.serverVersion)) all.push(`streaming 'on'`)
  if (options.withMessages === true && canSendMessages(options.serverVersion)) {
    all.push(`messages 'true'`)
  }
  return `(${all.join(', ')})`
}

/** START_REPLICATION of the slot from `from` on. */
export function startStatement(slotName: string, from: Lsn, options: StartOptions): string {
  return `START_REPLICATION SLOT ${quoteIdentifier(slotName)} LOGICAL ${formatLsn(from)} ${startOptions(options)}`
}

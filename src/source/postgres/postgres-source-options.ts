/** What a PostgreSQL source is made of. */
import type { SteadyClock } from '../../base/clock.ts'
import type { Failpoints } from '../../base/failpoint.ts'
import type { Log } from '../../observe/log.ts'
import type { SpoolOptions } from './spooled-transactions.ts'

export interface PostgresSourceOptions {
  /** As in a resource file: host, port, database, user, password, sslmode, sslrootcert. */
  readonly options: Readonly<Record<string, string>>
  /** Lower-case letters, digits and underscores, at most 63. */
  readonly slotName: string
  readonly publicationName: string
  /** A person named the slot, and may have made it: one that is there is read on and never dropped. */
  readonly isSlotChosen?: boolean
  /** `slotName` is for this look only, and no finding names it. */
  readonly isSlotUnnamed?: boolean
  readonly log: Log
  readonly clock: SteadyClock
  readonly failpoints: Failpoints
  /** How long a new slot or copy waits for older transactions; a minute when left out. */
  readonly blockedTimeoutMs?: number
  /** Marks the slot so that standbys keep a copy of it, where the server can; true when left out. */
  readonly isFailover?: boolean
  /** After so long without a word from us the server ends the stream; a minute when left out. */
  readonly walSenderTimeoutMs?: number
  /** How often a mark is written into the source's log; 0 or left out: never. */
  readonly heartbeatIntervalMs?: number
  /** How often the publication is looked at while streaming; a minute when left out. */
  readonly watchIntervalMs?: number
  /**
   * Where transactions in progress are kept until they commit. When left out, and when it proves
   * unusable, the server keeps them and sends them at their commit.
   */
  readonly spool?: SpoolOptions
  /** Larger tables are copied in pieces of about this size; 64 MiB when left out. */
  readonly snapshotChunkBytes?: number
}

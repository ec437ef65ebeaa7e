/** What a change stream works with. */
import type { SteadyClock } from '../../base/clock.ts'
import type { Failpoints } from '../../base/failpoint.ts'
import type { Log } from '../../observe/log.ts'
import type { TableId } from '../table-schema.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import type { CatalogLook, LookOptions } from './ddl-watch.ts'
import type { Lsn } from './lsn.ts'
import type { PartitionGuard } from './partition-guard.ts'
import type { PublicationGuard } from './publication-guard.ts'
import type { SpoolOptions } from './spooled-transactions.ts'

export interface StreamContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly log: Log
  readonly clock: SteadyClock
  readonly slotName: string
  readonly publicationNames: readonly string[]
  readonly publication: Pick<PublicationGuard, 'watch' | 'takeGaps' | 'trust'>
  readonly partitions: Omit<PartitionGuard, 'prepare' | 'remember' | 'copied' | 'close'>
  /** Tables of which a cell could not be read, with the reason, until a sink is told. */
  readonly unreadable: Map<TableId, string>
  readonly looks: LookOptions
  /** At the catalog, before the stream. */
  readonly look: CatalogLook | undefined
  readonly watchIntervalMs: number
  /** After so long without a word from us the server ends the stream. */
  readonly walSenderTimeoutMs: number
  /** Told how far everything was delivered. */
  readonly passed: (lsn: Lsn) => void
  /** How long a former reader of ours, or somebody else, may still hold the slot. */
  readonly slotWaitMs: number
  readonly failpoints: Failpoints
  /** `server_version_num`. */
  readonly serverVersion: number
  /** Where transactions in progress wait for their end; undefined: they are to come when they commit. */
  readonly spool: SpoolOptions | undefined
}

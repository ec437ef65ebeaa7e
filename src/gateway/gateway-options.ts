/** What a gateway is given, and what it is beside the seam every gateway keeps. */
import type { SteadyClock } from '../base/clock.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { Timers } from '../base/timers.ts'
import type { Log } from '../observe/log.ts'
import type { Source } from '../source/source.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import type { Gateway, TableStatus } from './gateway-status.ts'
import type { TableSelection } from './select-tables.ts'
import type { GatewaySettings } from './settings.ts'

export interface GatewayOptions {
  readonly source: Source
  /** In the hands of this gateway alone; whoever opened it closes it. */
  readonly staging: StagingLog
  readonly tables: TableSelection
  readonly settings?: Partial<GatewaySettings>
  readonly log: Log
  readonly clock?: SteadyClock
  readonly timers?: Timers
  /** Evenly from 0 to 1; spreads retries. */
  readonly random?: () => number
  readonly failpoints?: Failpoints
  /** Called after every staged commit. */
  readonly onStaged?: () => void
}

export interface RefreshableGateway extends Gateway {
  /**
   * Copies the tables, by table id, anew beside the stream. May be called before and
   * during a run. With `all`, asked before a run, also a lost or replaced log of the source is
   * survived.
   */
  refresh(tables: readonly string[] | 'all'): void
  /** Why a table that was asked for is not copied anew; undefined: it is, or nothing is known yet. */
  refusal(tableId: string): TableStatus['problem']
}

/** All options, defaults filled in. */
export type FullGatewayOptions = Required<Omit<GatewayOptions, 'settings'>> & {
  readonly settings: GatewaySettings
}

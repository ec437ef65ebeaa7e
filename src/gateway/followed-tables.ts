/** All tables of a running gateway, and the few things that happen to one of them from outside. */
import { type SluiceError, troubleOf } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import type { Position } from '../source/source.ts'
import type { SourceTable } from '../source/table-schema.ts'
import type { GapEntry, SnapshotFinishedEntry } from '../staging/manifest.ts'
import type { FollowedTable } from './followed-table.ts'
import type { TableStatus } from './gateway-status.ts'

export interface FollowedTablesOptions {
  readonly log: Log
  /** Puts a gap on record, before or with the position that goes past it. */
  readonly announce: (entry: GapEntry) => void
  /** By table id, why it is stopped, as this process has told it; shared by the runs of a gateway. */
  readonly told: Map<string, string>
}

export class FollowedTables {
  readonly #options: FollowedTablesOptions
  readonly #tables = new Map<string, FollowedTable>()
  readonly #listeners = new Set<() => void>()
  /** Copied, waiting for the stream to pass the copy's point. */
  #catchingUp = 0

  constructor(options: FollowedTablesOptions) {
    this.#options = options
  }

  get(tableId: string): FollowedTable | undefined {
    return this.#tables.get(tableId)
  }

  all(): readonly FollowedTable[] {
    return [...this.#tables.values()]
  }

  add(table: FollowedTable): void {
    this.#tables.set(table.table.id, table)
    this.changed()
  }

  /** Whoever waits for work or for its end looks again. */
  changed(): void {
    this.#catchingUp = this.all().filter((table) => table.state === 'catching-up').length
    for (const listener of this.#listeners) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The table can not be continued; it is copied anew, with `table` as its new description if given. */
  gap(table: FollowedTable, reason: string, described?: SourceTable): void {
    this.#copyAnew(table, reason)
    table.mustDescribe = described === undefined
    if (described !== undefined) table.table = described
    this.changed()
  }

  /** A person asked for a full refresh. */
  refresh(table: FollowedTable): void {
    this.#copyAnew(table, 'a full refresh was asked for', { full_refresh: true })
    table.mustDescribe = true
    this.changed()
  }

  /** The table needs a person. */
  refuse(table: FollowedTable, error: SluiceError): void {
    const { code, message } = error
    const { log, told } = this.#options
    const words = `${code} ${message}`
    if (told.get(table.table.id) !== words) {
      log.error(`table stopped: ${message}`, { table: nameOf(table.table), code })
    }
    told.set(table.table.id, words)
    table.anew = undefined
    this.#discontinue(table, message, code === 'GATEWAY_TABLE_GONE' ? { gone: true } : {})
    table.meet('refused')
    table.problem = troubleOf(error)
    this.changed()
  }

  /** Nobody asks for the table any more. */
  remove(table: FollowedTable, reason: string): void {
    const name = nameOf(table.table)
    this.#options.log.warn(`table is no longer followed: ${reason}`, { table: name })
    this.#discontinue(table, reason, { gone: true })
    if (table.state !== 'failed') table.meet('refused')
    this.#tables.delete(table.table.id)
    this.changed()
  }

  /** What made it fail is gone: it is copied anew. */
  remedy(table: FollowedTable): void {
    table.meet('remedied')
    table.problem = undefined
    this.#options.told.delete(table.table.id)
    table.mustDescribe = true
    table.copyFailures = table.retryAtMs = 0
    this.changed()
  }

  /** Some table waits only for the stream to get to `position`. */
  awaits(position: Position): boolean {
    if (this.#catchingUp === 0) return false
    return this.all().some(
      (table) => table.state === 'catching-up' && table.points.isPassedBy(position),
    )
  }

  /** Copies that are whole once everything before `position` is staged; `staged` are so far in progress. */
  finishedBy(position: Position, staged: readonly FollowedTable[]): readonly FollowedTable[] {
    const waiting = this.all().filter((table) => table.state === 'catching-up')
    const copied = staged.filter((table) => table.state === 'snapshotting')
    return [...waiting, ...copied].filter((table) => table.points.isPassedBy(position))
  }

  /** What `finishedBy` found, and the chunks of `staged`, are published, with `position`. */
  published(
    position: Position,
    staged: readonly FollowedTable[],
    finished: readonly FollowedTable[],
  ): void {
    for (const table of staged) {
      if (table.state !== 'snapshotting') continue
      table.meet('copy-staged')
      table.ledger = undefined
    }
    for (const table of finished) {
      if (table.state !== 'catching-up') continue
      table.meet('point-passed')
      this.#options.told.delete(table.table.id)
      table.anew = undefined
      const rows = table.stagedRows
      this.#options.log.info('table copied', { table: nameOf(table.table), rows })
    }
    for (const table of this.all()) if (!table.points.isPassed) table.passPoints(position)
    if (staged.length > 0 || finished.length > 0) this.changed()
  }

  statuses(): readonly TableStatus[] {
    return this.all().map((table) => table.status())
  }

  #copyAnew(table: FollowedTable, reason: string, kind: GapKind = {}): void {
    if (table.isFollowed) {
      this.#options.log.info(`table is copied anew: ${reason}`, { table: nameOf(table.table) })
    }
    this.#discontinue(table, reason, kind)
    table.meet('gap')
    table.anew = reason
  }

  #discontinue(table: FollowedTable, reason: string, kind: GapKind = {}): void {
    // That it is gone is news also of a table that could not be followed before.
    const isNews = kind.gone === true && table.recordedName !== undefined && !table.isGoneOnRecord
    if (table.isFollowed || isNews) {
      table.isGoneOnRecord = kind.gone === true
      this.#options.announce({ ...gapEntry(table.table.id, reason), ...kind })
    }
    table.abortCopy?.()
    table.abortCopy = undefined
    table.forgetCopy()
  }
}

type GapKind = Pick<GapEntry, 'full_refresh' | 'gone'>

export function gapEntry(tableId: string, reason: string): GapEntry {
  return { kind: 'gap', table_id: tableId, reason }
}

export function finishedEntry(table: FollowedTable): SnapshotFinishedEntry {
  return {
    kind: 'snapshot_finished',
    table_id: table.table.id,
    snapshot_id: table.snapshotId,
    rows: table.stagedRows,
  }
}

/** `schema.table`, as findings and messages name it. */
export function nameOf(table: Pick<SourceTable, 'name'>): string {
  return `${table.name.schema}.${table.name.table}`
}

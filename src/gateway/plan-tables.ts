/**
 * Brings the gateway's tables in line with the source and the selection: at the begin of every
 * stream, and from time to time beside it.
 */
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError, hasCode, SluiceError, type Trouble, troubleOf } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import type { Finding } from '../source/finding.ts'
import type { Position, PreparedSource, Source, SourceState } from '../source/source.ts'
import type { SourceTable, TableSchema } from '../source/table-schema.ts'
import type { RecoveredTable } from '../staging/recovered-log.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { tableEntry, tableGone } from './begin-copy.ts'
import { CopyPoints } from './copy-points.ts'
import { FollowedTable } from './followed-table.ts'
import type { TableStatus } from './gateway-status.ts'
import { gapEntry, nameOf, type FollowedTables } from './followed-tables.ts'
import type { Progress } from './progress.ts'
import { ledgerOf, recoveredState, type Recovered } from './recover.ts'
import {
  refusals,
  selectTables,
  withIdentity,
  type NamedTable,
  type SelectedTables,
  type TableSelection,
} from './select-tables.ts'

export interface TablePlanOptions {
  readonly source: Source
  readonly staging: Pick<StagingLog, 'readSchema'>
  readonly selection: TableSelection
  readonly tables: FollowedTables
  readonly progress: Progress
  readonly recovered: Recovered
  readonly clock: SteadyClock
  readonly log: Log
}

/** Codes with which a source says that the log we read is not there any more. */
const lostLogCodes: ReadonlySet<string> = new Set(['SOURCE_INCARNATION_CHANGED', 'SOURCE_LOG_LOST'])

export class TablePlan {
  readonly #options: TablePlanOptions
  #refresh: Set<string> | 'all' = new Set()
  #missing: readonly NamedTable[] = []
  /** Asked for by id and not among the tables, with the reason. */
  readonly #notFound = new Map<string, TableStatus['problem']>()
  #isFirst = true
  #leftSlots: readonly Trouble[] = []
  /** By the last check, `schema.table`. */
  #refused: Set<string> = new Set()

  constructor(options: TablePlanOptions) {
    this.#options = options
  }

  /** Asked for by name and not in the source. */
  get missing(): readonly NamedTable[] {
    return this.#missing
  }

  /** By the last look of `prepare`. */
  get leftSlots(): readonly Trouble[] {
    return this.#leftSlots
  }

  /** The tables, by id, are copied anew; takes effect with the next `applyRefresh`. */
  refresh(tables: readonly string[] | 'all'): void {
    if (tables === 'all' || this.#refresh === 'all') this.#refresh = 'all'
    else {
      for (const table of tables) {
        this.#refresh.add(table)
        this.#notFound.delete(table)
      }
    }
  }

  /** It waits for the next `applyRefresh`. */
  isAsked(tableId: string): boolean {
    return this.#refresh === 'all' || this.#refresh.has(tableId)
  }

  /** Why there is no such table to copy anew; undefined when it was not asked for or is not yet tried. */
  notFound(tableId: string): TableStatus['problem'] {
    return this.#notFound.get(tableId)
  }

  /**
   * Finds, checks and prepares the tables; returns those the stream is to deliver. Throws what
   * concerns the whole source.
   */
  async prepare(): Promise<readonly SourceTable[]> {
    const { source, tables, progress } = this.#options
    const selected = await selectTables(source, this.#options.selection)
    const findings = await source.check(selected.tables)
    const refused = refusals(this.#withoutLostLog(findings))
    this.#tellLeftSlots(findings)
    const good = selected.tables.filter((table) => !refused.has(nameOf(table)))
    const state = await this.#prepareSource(good)
    // On record no later than the source that has them.
    if (state.branchedAt !== undefined) this.#endCopiesAfter(state.branchedAt)
    await this.#addTables(selected.tables, state)
    if (progress.state === undefined) {
      progress.begin(state)
      // From now on a restart proves that the log still is this one.
      await progress.publish({ entries: [] })
    } else {
      // What is published from now on knows the tables that were prepared just now.
      progress.begin(state)
    }
    this.#compare(selected)
    for (const table of tables.all()) {
      const error = refused.get(nameOf(table.table))
      if (error !== undefined) tables.refuse(table, error)
      else if (this.#isRemediable(table) && good.some(({ id }) => id === table.table.id)) {
        tables.remedy(table)
      }
    }
    this.#refused = new Set(refused.keys())
    // What was found just now a copy would only meet again.
    this.applyRefresh({ butOf: this.#refused })
    return good.map((table) => {
      const followed = tables.get(table.id)
      return followed?.isFollowed === true ? followed.table : table
    })
  }

  /** Looks at the source again; true when the stream has to begin anew to take tables in. */
  async isOutdated(): Promise<boolean> {
    const { source, selection, tables } = this.#options
    const selected = await selectTables(source, selection)
    const hasOtherIdentity = selected.tables.some(({ id, schema }) => {
      const table = tables.get(id)
      return table?.isFollowed === true && !isSameIdentity(table.table.schema, schema)
    })
    this.#compare(selected)
    // What the source has to publish of it, if it can at all, is another matter now.
    if (hasOtherIdentity) return true
    if (selected.tables.some(({ id }) => tables.get(id) === undefined)) return true
    const failed = tables.all().filter(({ state }) => state === 'failed')
    const present = selected.tables.filter(({ id }) => failed.some(({ table }) => table.id === id))
    if (present.length === 0) return false
    const refused = this.#refusedAmong(await source.check(present))
    if (refused === undefined) return false
    for (const table of failed) {
      const name = nameOf(table.table)
      const error = refused.get(name)
      if (error === undefined || this.#refused.has(name)) continue
      // Whatever its copy failed with: this says what to do, and later whether it was done.
      tables.refuse(table, error)
      this.#refused.add(name)
    }
    return present.some(({ id, name }) => {
      const table = tables.get(id)
      return !refused.has(nameOf({ name })) && table !== undefined && this.#isRemediable(table)
    })
  }

  /** undefined when something is wrong with the whole server: that is for the stream to meet. */
  #refusedAmong(findings: readonly Finding[]): ReturnType<typeof refusals> | undefined {
    try {
      return refusals(findings)
    } catch (error) {
      const { code, message } = asSluiceError(error)
      this.#options.log.debug(`failed tables can not be looked at: ${message}`, { code })
      return undefined
    }
  }

  /** The table as the source describes it now; undefined when it is gone. */
  async describe(table: FollowedTable): Promise<SourceTable | undefined> {
    const { name, id } = table.table
    const { source, selection } = this.#options
    const described = await source.describeTable(id)
    // Whether it is still wanted under the name of another schema, the next look at all tables tells.
    if (described?.name.schema !== name.schema) return undefined
    return withIdentity(described, selection)
  }

  /** `butOf`: `schema.table` of those whose copy need not be tried. */
  applyRefresh({ butOf }: { readonly butOf?: ReadonlySet<string> } = {}): void {
    const { tables, log } = this.#options
    const asked = this.#refresh
    this.#refresh = new Set()
    for (const table of tables.all()) {
      if (asked !== 'all' && !asked.delete(table.table.id)) continue
      this.#notFound.delete(table.table.id)
      if (table.isFollowed) tables.refresh(table)
      else if (table.state === 'failed' && butOf?.has(nameOf(table.table)) !== true) {
        tables.remedy(table)
      }
    }
    if (asked !== 'all') {
      for (const tableId of asked) {
        const known = this.#options.recovered.tables.get(tableId)?.name
        const gone = tableGone(known ?? `with the id ${tableId}`)
        this.#notFound.set(tableId, troubleOf(gone))
        log.warn('no such table to refresh', { table: known, tableId, code: gone.code })
      }
    }
  }

  /** It failed for a reason that a look at the source can find to be gone, or is to be tried again. */
  #isRemediable(table: FollowedTable): boolean {
    const { state, problem, retryAtMs } = table
    if (state !== 'failed') return false
    if (problem?.code === 'GATEWAY_TABLE_GONE' || this.#refused.has(nameOf(table.table)))
      return true
    return retryAtMs <= this.#options.clock.elapsedMs()
  }

  /** They cost the source disk for as long as nobody hears of them. */
  #tellLeftSlots(findings: readonly Finding[]): void {
    const known = new Set(this.#leftSlots.map(({ message }) => message))
    this.#leftSlots = findings.flatMap(({ code, message, remedy = '' }) =>
      code === 'SOURCE_SLOT_LEFT_BEHIND' ? [{ code, message, remedy }] : [],
    )
    for (const { code, message, remedy } of this.#leftSlots) {
      if (!known.has(message)) this.#options.log.warn(message, { code, remedy })
    }
  }

  /** Whoever copies everything anew does not need the log that is lost. */
  #withoutLostLog(findings: readonly Finding[]): readonly Finding[] {
    if (this.#refresh !== 'all') return findings
    return findings.filter(({ code }) => code === undefined || !lostLogCodes.has(code))
  }

  /** A lost log is survived only when a person has asked to copy everything anew. */
  async #prepareSource(good: readonly SourceTable[]): Promise<PreparedSource> {
    const { source, progress, recovered } = this.#options
    const saved = progress.state ?? recovered.state
    try {
      return await source.prepare(good, saved)
    } catch (error) {
      const isLost = error instanceof SluiceError && lostLogCodes.has(error.code)
      if (!isLost || this.#refresh !== 'all' || progress.state !== undefined) throw error
      const state = await source.prepare(good, undefined)
      this.#options.log.warn('the log of the source is another one; every table is copied anew')
      progress.begin(state)
      for (const table of recovered.tables.values()) {
        this.#announce(table, 'the log of the source is another one')
        table.hasGap = true
      }
      await progress.publish({ entries: [] })
      return state
    }
  }

  /** Copies that show what the source, which goes on from `branchedAt` differently, never had. */
  #endCopiesAfter(branchedAt: Position): void {
    const { tables, recovered, source } = this.#options
    const reason = 'the copy shows what the promoted server never had'
    for (const known of recovered.tables.values()) {
      const { started, isFinished, hasGap } = known
      if (started === undefined || isFinished || hasGap) continue
      if (tables.get(known.tableId) !== undefined) continue
      const points = known.points.map((point) => source.parseSnapshotPoint(point))
      if (points.every((point) => point.isPassedBy(branchedAt))) continue
      this.#announce(known, reason)
      known.hasGap = true
    }
    for (const table of tables.all()) {
      if (!table.isFollowed || table.points.isPassedBy(branchedAt)) continue
      tables.gap(table, reason)
    }
  }

  /** Tables met for the first time by this process. */
  async #addTables(selected: readonly SourceTable[], state: SourceState): Promise<void> {
    const { tables, recovered, progress } = this.#options
    if (recovered.state !== undefined && progress.state === undefined) progress.begin(state)
    for (const source of selected) {
      if (tables.get(source.id) !== undefined) continue
      const known = recovered.tables.get(source.id)
      tables.add(
        known === undefined ? new FollowedTable(source) : await this.#restore(source, known, state),
      )
    }
    if (this.#isFirst) this.#forgetUnselected(selected)
    this.#isFirst = false
  }

  async #restore(
    source: SourceTable,
    known: RecoveredTable,
    state: SourceState,
  ): Promise<FollowedTable> {
    const { staging } = this.#options
    const table = new FollowedTable(source, recoveredState(known))
    table.snapshotId = known.started?.snapshot_id ?? -1
    table.recordedName = known.name
    table.isGoneOnRecord = known.isGone
    table.stagedRows = table.snapshotRows = known.rows
    table.schemaVersion = known.schemaVersion
    if (known.schemaVersion >= 0) {
      try {
        table.recordedSchema = await staging.readSchema(source.id, known.schemaVersion)
      } catch (error) {
        if (!isLostSchema(error)) throw error
        // Whoever copies the table anew does not need it.
        if (table.isFollowed && !this.isAsked(source.id)) throw ofTable(source, error)
        if (table.isFollowed) {
          this.#announce(known, 'a schema file of the staging volume is lost')
          table.meet('gap')
        }
      }
    }
    if (table.isFollowed && table.recordedSchema !== undefined && known.started !== undefined) {
      table.table = { ...source, schema: table.recordedSchema }
      const points = known.points.map((point) => this.#options.source.parseSnapshotPoint(point))
      table.setPoints(CopyPoints.of(points).passedBy(state.position))
      if (table.state === 'snapshotting') table.ledger = ledgerOf(known)
    }
    return table
  }

  /** Their changes are no longer read, so what is staged of them ends here. */
  #forgetUnselected(selected: readonly SourceTable[]): void {
    const ids = new Set<string>(selected.map(({ id }) => id))
    for (const known of this.#options.recovered.tables.values()) {
      // A log of an earlier version may not tell it from a table that is copied anew.
      if (ids.has(known.tableId) || known.isGone || known.name === undefined) continue
      const { name } = known
      const { progress, log, selection } = this.#options
      const isWanted = selection.schemas.some((schema) => name.startsWith(`${schema}.`))
      const reason = isWanted
        ? 'the table is no longer in the source'
        : 'the table is no longer selected'
      const code = isWanted ? { code: 'GATEWAY_TABLE_GONE' } : {}
      progress.announce({ ...gapEntry(known.tableId, reason), gone: true })
      log.warn(`table is no longer followed: ${reason}`, { table: name, ...code })
    }
  }

  #announce(known: RecoveredTable, reason: string): void {
    if (recoveredState(known) === 'pending') return
    this.#options.progress.announce(gapEntry(known.tableId, reason))
  }

  /** Gone, renamed and altered tables among those that are known. */
  #compare(selected: SelectedTables): void {
    const { tables, progress } = this.#options
    this.#missing = selected.missing
    const present = new Map<string, SourceTable>(selected.tables.map((table) => [table.id, table]))
    const names = new Set(selected.tables.map(nameOf))
    for (const table of tables.all()) {
      const now = present.get(table.table.id)
      if (now === undefined && names.has(nameOf(table.table))) {
        tables.remove(table, 'another table took its name')
      } else if (now === undefined) {
        tables.refuse(table, tableGone(nameOf(table.table)))
      } else if (table.isFollowed && !table.hasSchema(now.schema) && !isTold(table, now)) {
        tables.gap(table, 'the table has a new schema', now)
      } else if (table.isFollowed && table.recordedName !== nameOf(now)) {
        table.recordedName = nameOf(now)
        table.table = { ...table.table, name: now.name }
        void progress.publish({ entries: [tableEntry(now, table.schemaVersion)] }).catch(() => {
          // Whoever reads `onFailure` of the progress ends the run.
        })
      } else if (!table.isFollowed) {
        // What its copy failed with may have been one of its columns.
        if (!table.hasSchema(now.schema)) table.retryAtMs = 0
        table.table = now
      }
    }
  }
}

/** The stream tells at which place in the log the columns changed, but not all about identities. */
function isTold({ table }: FollowedTable, now: SourceTable): boolean {
  const hasStorage = table.schema.storage !== undefined && now.schema.storage !== undefined
  return hasStorage && isSameIdentity(table.schema, now.schema)
}

function isLostSchema(error: unknown): boolean {
  return hasCode(error, 'STAGING_SCHEMA_MISSING') || hasCode(error, 'STAGING_SCHEMA_UNREADABLE')
}

/** The file is named by the table's number. */
function ofTable(table: SourceTable, cause: unknown): SluiceError {
  const { code, message } = asSluiceError(cause)
  return new SluiceError(code, `table ${nameOf(table)}: ${message}`, { cause })
}

function isSameIdentity(a: TableSchema, b: TableSchema): boolean {
  return a.identity === b.identity && a.key.length > 0 === b.key.length > 0
}

/**
 * Keeps watch over the publication for one source: makes and repairs it, remembers how each table
 * stood in it, and tells which tables may have lost changes, which cannot be followed at all, and
 * which may be copied now.
 */
import type { SteadyClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import type { ServerState } from './log-guard.ts'
import {
  dropUnidentified,
  ensurePublications,
  insertsNameOf,
  isInsertOnly,
  readPublications,
} from './insert-publication.ts'
import type { Lsn } from './lsn.ts'
import {
  addTablesStatement,
  fingerprint,
  type LockedTables,
  notAfter,
  publicationGaps,
  type PublicationFingerprint,
  type PublicationState,
  withGaps,
} from './publication.ts'
import { describeBlockers } from './replication-slot.ts'
import { SessionTrust } from './session-trust.ts'
import { shownTable } from './sql-text.ts'
import { lockedError } from './table-locks.ts'
import { insertedTo, pushLog } from './wal-flush.ts'

export interface PublicationGuardOptions {
  readonly control: Control
  readonly log: Log
  readonly clock: SteadyClock
  readonly name: string
  /** How long a copy may wait for transactions older than its table's place in the publication. */
  readonly blockedTimeoutMs: number
  /** For a standby: waits until what runs now has ended, and tells a place after it. */
  readonly placeAfterOlder: () => Promise<Lsn>
}

export interface PublicationBefore {
  readonly fingerprint: PublicationFingerprint
  /** Where reading goes on. */
  readonly position: Lsn
  /** The server was promoted meanwhile: it may give ids again that its predecessor gave. */
  readonly isPromoted: boolean
}

export class PublicationGuard {
  /** Of the session that streams, or the next one. */
  readonly trust = new SessionTrust()
  readonly #options: PublicationGuardOptions
  #server: ServerState = { version: 0, isStandby: false }
  #tables: readonly SourceTable[] = []
  #fingerprint: PublicationFingerprint
  /** As it was when nothing was left to be told to a sink. */
  #told: PublicationFingerprint
  /** Tables that the publication cannot be made to publish whole, with the reason. */
  #problems = new Map<string, string>()
  /** Tables whose changes may be missing, not yet told to a sink. */
  #gaps = new Map<TableId, string>()
  /**
   * Ids from which tables are distrusted. Not in the fingerprint, which is taken anew while such an
   * id is asked for, and before a session that begins at the same place of the log again.
   */
  readonly #distrustedSince = new Map<TableId, bigint>()
  /** Wanted tables that are not published, because they have no identity. */
  #unidentified: ReadonlySet<TableId> = new Set()
  /** Wanted tables that are to be published once others have let them go. */
  #locked: LockedTables = new Map()
  #turn: Promise<unknown> = Promise.resolve()
  /** Since when a copy waits for older transactions. */
  readonly #waitingMs = new Map<TableId, number>()

  constructor(options: PublicationGuardOptions) {
    this.#options = options
    this.#told = this.#fingerprint = { name: options.name, tables: {} }
  }

  get fingerprint(): PublicationFingerprint {
    return this.#fingerprint
  }

  /** May be kept along with what the sink has been told. */
  get told(): PublicationFingerprint {
    if (this.#gaps.size === 0) this.#told = this.#fingerprint
    return this.#told
  }

  /** Makes, extends and repairs the publication; what went missing meanwhile is a gap. */
  async prepare(
    tables: readonly SourceTable[],
    server: ServerState,
    before: PublicationBefore | undefined,
  ): Promise<void> {
    await this.#inTurn(async () => await this.#prepare(tables, server, before))
  }

  async #prepare(
    tables: readonly SourceTable[],
    server: ServerState,
    before: PublicationBefore | undefined,
  ): Promise<void> {
    this.#server = server
    this.#tables = tables
    // What stood before it is repaired tells whether changes are missing.
    if (before !== undefined) {
      const state = await this.#read()
      this.#recordGaps(publicationGaps(before.fingerprint, state, before.position))
    }
    await this.#ensure()
    await this.#takeFingerprint(before?.fingerprint, before?.isPromoted === true)
    if (before !== undefined) {
      this.#fingerprint = withGaps(this.#fingerprint, this.#gaps, before.position)
    }
    this.#told = this.#fingerprint
  }

  /** The slot was made after the publication: its stream knows every table from the beginning. */
  slotMade(lsn: Lsn): void {
    for (const [table, { since }] of Object.entries(this.#fingerprint.tables)) {
      this.trust.settle(table, BigInt(since), lsn)
    }
  }

  /** Looks whether the publication still is what it was, and repairs it; runs while streaming. */
  async watch(): Promise<void> {
    await this.#inTurn(async () => await this.#watch())
  }

  async #watch(): Promise<void> {
    const { control, name } = this.#options
    // Always: the server refuses the application's own updates of such a table.
    const { ids, wereDropped } = await dropUnidentified(control, name, this.#tables, this.#server)
    const isMended = [...this.#unidentified].some((id) => !ids.has(id))
    const gaps = publicationGaps(this.#fingerprint, await this.#read())
    if (gaps.size === 0 && !wereDropped && !isMended) return
    this.#recordGaps(gaps)
    try {
      await this.#ensure()
    } finally {
      await this.#takeFingerprint(this.#fingerprint, false)
    }
  }

  /** What is found and what is made of it belong together. */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work)
    this.#turn = next.catch(() => undefined)
    return await next
  }

  async #ensure(): Promise<void> {
    const { control, name } = this.#options
    const ensured = await ensurePublications(control, name, this.#tables, this.#server)
    this.#unidentified = ensured.unidentified
    this.#locked = ensured.locked
  }

  /** Tries again to publish a table that was locked. Throws SOURCE_TABLE_LOCKED. */
  async #publishLocked(table: SourceTable): Promise<void> {
    const { control, name } = this.#options
    if (!this.#locked.has(table.id)) return
    const { locked } = await ensurePublications(control, name, [table], this.#server)
    const others = [...this.#locked].filter(([id]) => id !== table.id)
    this.#locked = new Map([...others, ...locked])
    this.#expectUnlocked(table)
    await this.#takeFingerprint(this.#fingerprint, false)
  }

  #expectUnlocked(table: SourceTable): void {
    const holders = this.#locked.get(table.id)
    if (holders !== undefined) throw lockedError(table, 'it can not be published yet', holders)
  }

  /** The table may be copied only once the stream has begun anew after now. */
  async distrust(table: TableId): Promise<void> {
    const [row] = await this.#options.control.query('SELECT pg_current_xact_id()::text AS next')
    this.#distrustedSince.set(table, BigInt(row?.['next'] ?? ''))
  }

  /** Tables whose changes may be missing, each told once. */
  takeGaps(): ReadonlyMap<TableId, string> {
    const gaps = this.#gaps
    if (gaps.size > 0) this.#gaps = new Map()
    return gaps
  }

  /** A copy of the table has to show every transaction below this 64-bit id. */
  sinceOf(table: TableId): bigint {
    const published = BigInt(this.#fingerprint.tables[table]?.since ?? '0')
    const distrusted = this.#distrustedSince.get(table) ?? 0n
    return distrusted > published ? distrusted : published
  }

  /** Throws SOURCE_PUBLICATION_INCOMPLETE, SOURCE_TABLE_LOCKED for a table that cannot be followed. */
  expectPublished(table: SourceTable): void {
    this.#expectUnlocked(table)
    const problem = this.#problems.get(table.id)
    if (problem === undefined) return
    const name = isInsertOnly(table) ? insertsNameOf(this.#options.name) : this.#options.name
    throw new SluiceError(
      'SOURCE_PUBLICATION_INCOMPLETE',
      `${shownTable(table.name)} cannot be followed through publication "${name}": ${problem}`,
      { remedy: addTablesStatement(name, [table]) },
    )
  }

  /**
   * False while transactions older than the table's place in the publication are open, and until
   * the stream has begun anew after them. Throws SOURCE_SLOT_BLOCKED when they do not end, and
   * SOURCE_TABLE_LOCKED while others keep the table from being published.
   */
  async canCopy(table: SourceTable): Promise<boolean> {
    if (this.#locked.has(table.id)) await this.#inTurn(() => this.#publishLocked(table))
    const { clock, blockedTimeoutMs, control } = this.#options
    const since = this.sinceOf(table.id)
    if (this.trust.of(table.id, since) === 'open') await this.#lookForEnd(table.id, since)
    const trust = this.trust.of(table.id, since)
    if (trust !== 'open') {
      this.#waitingMs.delete(table.id)
      return trust === 'trusted'
    }
    const nowMs = clock.elapsedMs()
    const beganMs = this.#waitingMs.get(table.id) ?? nowMs
    this.#waitingMs.set(table.id, beganMs)
    if (nowMs - beganMs < blockedTimeoutMs) return false
    this.#waitingMs.delete(table.id)
    throw new SluiceError(
      'SOURCE_SLOT_BLOCKED',
      `A copy of ${shownTable(table.name)} could not begin within ${blockedTimeoutMs} ms, because of ${await describeBlockers(control, since)}`,
    )
  }

  async #lookForEnd(table: TableId, since: bigint): Promise<void> {
    const { control, placeAfterOlder } = this.#options
    if (this.#server.isStandby) {
      // Its snapshots do not tell which transactions run.
      this.trust.settle(table, since, await placeAfterOlder())
      return
    }
    // In this order: whatever has ended by now has its commit record before the place read next.
    const [row] = await control.query(
      'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS oldest',
    )
    if (BigInt(row?.['oldest'] ?? '0') < since) return
    this.trust.settle(table, since, await insertedTo(control))
    await pushLog(control)
  }

  async #read(): Promise<PublicationState> {
    const { control, name } = this.#options
    return await readPublications(control, name, this.#tables, this.#server.version)
  }

  #recordGaps(gaps: ReadonlyMap<TableId, string>): void {
    const names = new Map(this.#tables.map(({ id, name }) => [id, shownTable(name)]))
    for (const [id, reason] of gaps) {
      const table = names.get(id)
      if (table === undefined || this.#gaps.has(id)) continue
      const message = 'the publication changed: the table has to be copied anew'
      this.#options.log.warn(message, { table, reason })
      this.#gaps.set(id, reason)
    }
  }

  /** Also what somebody changed between the look before and this one is a gap. */
  async #takeFingerprint(
    before: PublicationFingerprint | undefined,
    isPromoted: boolean,
  ): Promise<void> {
    const { control, name } = this.#options
    const state = await this.#read()
    if (before !== undefined) this.#recordGaps(publicationGaps(before, state))
    // An id of its own, given out now: above those of transactions that run and that no snapshot
    // counts yet, because nothing after them has ended. A standby gives out none.
    const id = this.#server.isStandby
      ? 'pg_snapshot_xmax(pg_current_snapshot())'
      : 'pg_current_xact_id()'
    const [row] = await control.query(`SELECT ${id}::text AS next`)
    const next = row?.['next'] ?? ''
    const known = before !== undefined && isPromoted ? notAfter(before, next) : before
    if (isPromoted) this.#lowerDistrust(BigInt(next))
    this.#fingerprint = fingerprint(name, state, known, next)
    this.#problems = new Map(state.problems)
    for (const { id } of this.#tables) {
      if (!state.signatures.has(id)) this.#problems.set(id, 'it does not publish the table')
    }
  }

  /** A promoted server may be behind the ids that its predecessor gave. */
  #lowerDistrust(nextXid: bigint): void {
    for (const [table, since] of this.#distrustedSince) {
      if (since > nextXid) this.#distrustedSince.set(table, nextXid)
    }
  }
}

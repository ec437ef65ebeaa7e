/** PostgreSQL as a Source: composes the files beside it. */
import type { SteadyClock } from '../../base/clock.ts'
import type { Failpoints } from '../../base/failpoint.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { TransactionInfo } from '../change-sink.ts'
import type { Finding } from '../finding.ts'
import type {
  Position,
  Source,
  SourceHealth,
  SourceState,
  StreamOptions,
  TableSnapshot,
} from '../source.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { SourceVerification } from '../verification.ts'
import { parsePostgresOptions, type PostgresOptions } from './connection-options.ts'
import { type Control, createControl } from './control.ts'
import { discoverSchemas } from './discover.ts'
import { type ExactSnapshot, exactSnapshot } from './exact-snapshot.ts'
import { type Lsn, zeroLsn } from './lsn.ts'
import {
  expectSameLog,
  formatIncarnation,
  fromPosition,
  type LogIdentity,
  parseIncarnation,
  toPosition,
} from './position.ts'
import { checkServer } from './prerequisites.ts'
import {
  addTablesStatement,
  dropPublication,
  ensurePublication,
  fingerprint,
  publicationGaps,
  type PublicationFingerprint,
  type PublicationState,
  readPublication,
  withGaps,
} from './publication.ts'
import {
  createSlot,
  dropSlot,
  expectSlotReaches,
  readSlot,
  removeLeftSlot,
} from './replication-slot.ts'
import { beginTableSnapshot } from './snapshot.ts'
import { parseSnapshotPoint } from './snapshot-point.ts'
import { shownTable } from './sql-text.ts'
import { ChangeStream } from './stream.ts'
import { checkTables } from './table-prerequisites.ts'
import { openVerification } from './verification.ts'
import { endOfLog } from './wal-flush.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface PostgresSourceOptions {
  /** As in a resource file: host, port, database, user, password, sslmode, sslrootcert. */
  readonly options: Readonly<Record<string, string>>
  /** Lower-case letters, digits and underscores, at most 63. */
  readonly slotName: string
  readonly publicationName: string
  readonly log: Log
  readonly clock: SteadyClock
  readonly failpoints: Failpoints
  /** How long a new slot or copy waits for older transactions; a minute when left out. */
  readonly blockedTimeoutMs?: number
  /** How often the publication is looked at while streaming; a minute when left out. */
  readonly watchIntervalMs?: number
}

/** A Source with what only PostgreSQL offers. */
export interface PostgresSource extends Source {
  /** A snapshot of exactly one position, for comparing with a destination that stands there. */
  exactSnapshot(): Promise<ExactSnapshot>
  /** What the server itself says about its rows at one exact position. */
  openVerification(tables: readonly SourceTable[]): Promise<SourceVerification>
}

/** Throws SOURCE_OPTION_INVALID; connects when first used. */
export function createPostgresSource(how: PostgresSourceOptions): PostgresSource {
  if (!/^[a-z0-9_]{1,63}$/.test(how.slotName)) {
    throw new SluiceError(
      'SOURCE_OPTION_INVALID',
      `"${how.slotName}" cannot name a replication slot: lower-case letters, digits and underscores only`,
    )
  }
  return new ComposedSource(how)
}

/** Longer than a server needs to notice that a reader on the same network is gone. */
const slotWaitMs = 5_000

class ComposedSource implements PostgresSource {
  readonly #how: PostgresSourceOptions
  readonly #options: PostgresOptions
  readonly #control: Control
  readonly #blockedTimeoutMs: number
  #serverVersion: number | undefined
  #fingerprint: PublicationFingerprint
  /** Tables that the publication cannot be made to publish whole, with the reason. */
  #problems = new Map<string, string>()
  /** Tables whose changes may be missing, not yet told to a sink. */
  #gaps = new Map<TableId, string>()
  #tables: readonly SourceTable[] = []
  #stream: ChangeStream | undefined
  #acknowledged: Lsn = zeroLsn

  constructor(how: PostgresSourceOptions) {
    this.#how = how
    this.#options = parsePostgresOptions(how.options)
    this.#control = createControl(this.#options)
    this.#blockedTimeoutMs = how.blockedTimeoutMs ?? 60_000
    this.#fingerprint = { name: how.publicationName, tables: {} }
  }

  get #slotWaitMs(): number {
    return Math.min(slotWaitMs, this.#blockedTimeoutMs)
  }

  async #version(): Promise<number> {
    if (this.#serverVersion === undefined) {
      const [row] = await this.#control.query('SHOW server_version_num')
      this.#serverVersion = Number(row?.['server_version_num'])
    }
    return this.#serverVersion
  }

  async check(tables: readonly SourceTable[] | undefined): Promise<readonly Finding[]> {
    const { slotName, publicationName, log } = this.#how
    const server = await checkServer({
      options: this.#options,
      control: this.#control,
      slotName,
      publicationName,
    })
    if (tables === undefined || server.some((one) => one.subject === 'connection' && one.code)) {
      return server
    }
    const context = {
      control: this.#control,
      log,
      publicationName,
      serverVersion: await this.#version(),
    }
    return [...server, ...(await checkTables(context, tables))]
  }

  async discoverTables(schemas: readonly string[]): Promise<readonly SourceTable[]> {
    const found = await discoverSchemas(this.#control, schemas, this.#how.log)
    return found.map(({ table }) => table)
  }

  async prepare(
    tables: readonly SourceTable[],
    saved: SourceState | undefined,
  ): Promise<SourceState> {
    const control = this.#control
    const { publicationName, slotName, failpoints } = this.#how
    const identity = await this.#identify()
    const before = saved === undefined ? undefined : parseIncarnation(saved.incarnation)
    if (before !== undefined) expectSameLog(before, identity)
    if (saved !== undefined) {
      const slot = await readSlot(control, slotName)
      expectSlotReaches(slotName, slot, fromPosition(saved.position), this.#options.database)
    }
    // What stood before it is repaired tells whether changes are missing.
    const version = await this.#version()
    this.#tables = tables
    if (before !== undefined && saved !== undefined) {
      const position = fromPosition(saved.position)
      const state = await this.#readPublication()
      this.#recordGaps(publicationGaps(before.publication, state, position))
    }
    await ensurePublication(control, publicationName, tables, version)
    await this.#takeFingerprint(before?.publication)
    if (saved !== undefined) {
      const position = fromPosition(saved.position)
      this.#fingerprint = withGaps(this.#fingerprint, this.#gaps, position)
      return { incarnation: this.#incarnation(identity), position: saved.position }
    }
    const lsn = await this.#startSlot()
    failpoints.hit('source.slot-created')
    return { incarnation: this.#incarnation(identity), position: toPosition(lsn) }
  }

  #incarnation(identity: LogIdentity): SourceState['incarnation'] {
    return formatIncarnation({ ...identity, publication: this.#fingerprint })
  }

  async #identify(): Promise<LogIdentity> {
    const connection = await WireConnection.open(this.#options, { isReplication: true })
    try {
      const [row] = await connection.query('IDENTIFY_SYSTEM', 'identifying the system')
      const [database] = await connection.query(
        'SELECT oid FROM pg_database WHERE datname = current_database()',
      )
      return {
        system: row?.[0] ?? '',
        timeline: row?.[1] ?? '',
        database: database?.[0] ?? '',
        slot: this.#how.slotName,
      }
    } finally {
      connection.close()
    }
  }

  async #startSlot(): Promise<Lsn> {
    const { slotName, log, clock } = this.#how
    const found = await readSlot(this.#control, slotName)
    if (found !== undefined) {
      log.warn('the replication slot existed before; it is made anew', { slot: slotName })
      await removeLeftSlot({
        control: this.#control,
        clock,
        name: slotName,
        database: this.#options.database,
        waitMs: this.#slotWaitMs,
        makingMs: this.#blockedTimeoutMs,
      })
    }
    return await createSlot({
      options: this.#options,
      control: this.#control,
      name: slotName,
      timeoutMs: this.#blockedTimeoutMs,
    })
  }

  async #readPublication(): Promise<PublicationState> {
    const ids = this.#tables.map((table) => table.id)
    const version = await this.#version()
    return await readPublication(this.#control, this.#how.publicationName, ids, version)
  }

  #recordGaps(gaps: ReadonlyMap<TableId, string>): void {
    const wanted = new Set<string>(this.#tables.map((table) => table.id))
    for (const [table, reason] of gaps) {
      if (!wanted.has(table)) continue
      this.#how.log.warn('the publication changed: the table has to be copied anew', {
        table,
        reason,
      })
      this.#gaps.set(table, reason)
    }
  }

  async #takeFingerprint(before: PublicationFingerprint | undefined): Promise<void> {
    const state = await this.#readPublication()
    const [row] = await this.#control.query(
      'SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next',
    )
    this.#fingerprint = fingerprint(this.#how.publicationName, state, before, row?.['next'] ?? '')
    this.#problems = new Map(state.problems)
    for (const { id } of this.#tables) {
      if (!state.signatures.has(id)) this.#problems.set(id, 'it does not publish the table')
    }
  }

  /** Runs while streaming. */
  async #watchPublication(): Promise<void> {
    const state = await this.#readPublication()
    const gaps = publicationGaps(this.#fingerprint, state)
    if (gaps.size === 0) return
    this.#recordGaps(gaps)
    const version = await this.#version()
    try {
      await ensurePublication(this.#control, this.#how.publicationName, this.#tables, version)
    } finally {
      await this.#takeFingerprint(this.#fingerprint)
    }
  }

  async currentPosition(): Promise<Position> {
    return toPosition(await endOfLog(this.#control))
  }

  async beginSnapshot(
    table: SourceTable,
    delivered: readonly TransactionInfo[],
  ): Promise<TableSnapshot> {
    const problem = this.#problems.get(table.id)
    if (problem !== undefined) {
      const { publicationName } = this.#how
      throw new SluiceError(
        'SOURCE_PUBLICATION_INCOMPLETE',
        `${shownTable(table.name)} cannot be followed through publication "${publicationName}": ${problem}`,
        { remedy: addTablesStatement(publicationName, [table]) },
      )
    }
    const context = {
      options: this.#options,
      control: this.#control,
      log: this.#how.log,
      clock: this.#how.clock,
      serverVersion: await this.#version(),
      timeoutMs: this.#blockedTimeoutMs,
    }
    const since = BigInt(this.#fingerprint.tables[table.id]?.since ?? '0')
    return await beginTableSnapshot(context, { table, delivered, since })
  }

  parseSnapshotPoint(point: string): ReturnType<Source['parseSnapshotPoint']> {
    return parseSnapshotPoint(point)
  }

  async streamChanges(stream: StreamOptions): Promise<void> {
    const { log, clock, slotName, publicationName, watchIntervalMs = 60_000 } = this.#how
    const reader = new ChangeStream(
      {
        options: this.#options,
        control: this.#control,
        log,
        clock,
        slotName,
        publicationName,
        watchPublication: async () => await this.#watchPublication(),
        watchIntervalMs,
        slotWaitMs: this.#slotWaitMs,
        takeGaps: () => this.#takeGaps(),
      },
      stream,
    )
    reader.confirm(this.#acknowledged)
    this.#stream = reader
    try {
      await reader.run()
    } finally {
      this.#stream = undefined
    }
  }

  #takeGaps(): ReadonlyMap<TableId, string> {
    const gaps = this.#gaps
    if (gaps.size > 0) this.#gaps = new Map()
    return gaps
  }

  acknowledge(position: Position): void {
    const lsn = fromPosition(position)
    if (lsn <= this.#acknowledged) return
    this.#acknowledged = lsn
    this.#stream?.confirm(lsn)
  }

  async health(): Promise<SourceHealth> {
    const { slotName } = this.#how
    const slot = await readSlot(this.#control, slotName)
    if (slot === undefined) {
      throw new SluiceError('SOURCE_LOG_LOST', `Slot "${slotName}" does not exist`)
    }
    const since = (lsn: Lsn | undefined): bigint =>
      lsn === undefined || lsn > slot.currentLsn ? 0n : slot.currentLsn - lsn
    return {
      retainedBytes: since(slot.restartLsn),
      budgetBytes: slot.safeBytes,
      lagBytes: since(slot.confirmedLsn),
    }
  }

  async exactSnapshot(): Promise<ExactSnapshot> {
    const name = `sluice_exact_${process.pid}_${this.#how.clock.nowMs()}`
    return await exactSnapshot(this.#options, this.#control, name, this.#blockedTimeoutMs)
  }

  async openVerification(tables: readonly SourceTable[]): Promise<SourceVerification> {
    return await openVerification(this.#options, tables, async () => await this.exactSnapshot())
  }

  async dispose(): Promise<void> {
    await dropSlot(this.#control, this.#how.slotName)
    await dropPublication(this.#control, this.#how.publicationName)
  }

  async close(): Promise<void> {
    await this.#control.close()
  }
}

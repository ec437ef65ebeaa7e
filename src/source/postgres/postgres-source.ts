/** PostgreSQL as a Source: composes the files beside it. */
import { SluiceError } from '../../base/errors.ts'
import type { Finding } from '../finding.ts'
import type {
  BeginSnapshotOptions,
  Position,
  PreparedSource,
  ResumedSnapshot,
  Source,
  SourceHealth,
  SourceState,
  StreamEnd,
  StreamOptions,
  TableSnapshot,
  UnfinishedCopy,
} from '../source.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { SourceVerification } from '../verification.ts'
import { parsePostgresOptions, type PostgresOptions } from './connection-options.ts'
import { type Control, createControl } from './control.ts'
import { confirmSlot } from './confirm-slot.ts'
import { type CatalogLook, DescribedOrder, lookAtCatalog, type LookOptions } from './ddl-watch.ts'
import { describedTables } from './described-tables.ts'
import { discoverById, discoverSchemas } from './discover.ts'
import { canFailOver, markForFailover } from './failover.ts'
import { Heartbeat } from './heartbeat.ts'
import { type ExactSnapshot, exactSnapshot } from './exact-snapshot.ts'
import { type Lsn, zeroLsn } from './lsn.ts'
import { identifyLog, readServerState, type ServerState } from './log-guard.ts'
import {
  formatIncarnation,
  fromPosition,
  type LogIdentity,
  markOfBegin,
  parseIncarnation,
  toPosition,
} from './position.ts'
import type { PostgresSourceOptions } from './postgres-source-options.ts'
import { checkServer } from './prerequisites.ts'
import { publicationsFrom } from './insert-publication.ts'
import { PartitionGuard } from './partition-guard.ts'
import { promotedError, watchPromotion } from './promotion-watch.ts'
import { PublicationGuard } from './publication-guard.ts'
import { PublicationHole } from './publication-hole.ts'
import { expectSlotReaches, readSlot } from './replication-slot.ts'
import { removeFromServer } from './removal.ts'
import { expectSameHistory } from './same-history.ts'
import { slotHealth } from './slot-health.ts'
import { parseSnapshotPoint } from './snapshot-point.ts'
import { isSpoolError } from './spool-file.ts'
import type { SpoolOptions } from './spooled-transactions.ts'
import { startSlot } from './start-slot.ts'
import { ChangeStream } from './stream.ts'
import { TableCopies } from './table-copies.ts'
import { expectReadOn, sameUpTo } from './timeline.ts'
import { checkTables } from './table-prerequisites.ts'
import { openVerification } from './verification.ts'
import { ToldTruncates } from './told-truncates.ts'
import { endOfLog } from './wal-flush.ts'

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
  readonly #slotWaitMs: number
  readonly #publication: PublicationGuard
  readonly #partitions: PartitionGuard
  readonly #hole: PublicationHole
  readonly #heartbeat: Heartbeat
  readonly #order = new DescribedOrder()
  readonly #unreadable = new Map<TableId, string>()
  readonly #looks: LookOptions
  /** At the catalog, when the tables were prepared. */
  #look: CatalogLook | undefined
  #server: ServerState | undefined
  #stream: ChangeStream | undefined
  #acknowledged: Lsn = zeroLsn
  /** Before this there was nothing for us after the last stream. */
  #silentTo: Lsn = zeroLsn
  readonly #copies: TableCopies
  #spool: SpoolOptions | undefined

  constructor(how: PostgresSourceOptions) {
    this.#how = how
    this.#spool = how.spool
    const options = (this.#options = parsePostgresOptions(how.options, how.clock))
    this.#control = createControl(this.#options)
    this.#blockedTimeoutMs = how.blockedTimeoutMs ?? 60_000
    this.#slotWaitMs = Math.min(slotWaitMs, this.#blockedTimeoutMs)
    const { log, clock, publicationName, heartbeatIntervalMs: intervalMs = 0 } = how
    const control = this.#control
    const distrust = (table: TableId): Promise<void> => this.#publication.distrust(table)
    const truncates = new ToldTruncates()
    const guarded = { options, control, log, publicationName, distrust, truncates }
    this.#partitions = new PartitionGuard(guarded)
    this.#heartbeat = new Heartbeat({ control, clock, log, intervalMs })
    const order = this.#order
    const looks = { control, log, publicationName, order, truncates }
    this.#looks = { ...looks, endOfLog: () => endOfLog(control) }
    this.#publication = new PublicationGuard({
      control,
      log,
      clock,
      name: publicationName,
      blockedTimeoutMs: this.#blockedTimeoutMs,
      placeAfterOlder: async () => {
        const exact = await this.exactSnapshot()
        await exact.close()
        return fromPosition(exact.position)
      },
    })
    this.#hole = new PublicationHole({ control, publicationName, publication: this.#publication })
    this.#copies = new TableCopies({
      options: this.#options,
      control: this.#control,
      publication: this.#publication,
      log: how.log,
      publicationName,
      clock: how.clock,
      timeoutMs: this.#blockedTimeoutMs,
      chunkBytes: how.snapshotChunkBytes ?? 64 * 2 ** 20,
      server: async () => await this.#serverState(),
      onPartitions: (tree) => this.#partitions.copied(tree),
    })
  }

  async #serverState(): Promise<ServerState> {
    return (this.#server ??= await readServerState(this.#control))
  }

  async check(tables: readonly SourceTable[] | undefined): Promise<readonly Finding[]> {
    const { slotName, isSlotUnnamed = false, publicationName, log } = this.#how
    const server = await checkServer({
      options: this.#options,
      control: this.#control,
      slotName,
      isSlotUnnamed,
      publicationName,
    })
    if (tables === undefined || server.some((one) => one.subject === 'connection' && one.code)) {
      return server
    }
    const { version: serverVersion, isStandby } = await this.#serverState()
    const context = { control: this.#control, log, publicationName, serverVersion, isStandby }
    return [...server, ...(await checkTables(context, tables))]
  }

  async discoverTables(schemas: readonly string[]): Promise<readonly SourceTable[]> {
    const found = await discoverSchemas(this.#control, schemas, this.#how)
    return await describedTables(this.#looks, found)
  }

  async describeTable(id: TableId): Promise<SourceTable | undefined> {
    const found = await discoverById(this.#control, [id], this.#how)
    return (await describedTables(this.#looks, found))[0]
  }

  async prepare(
    tables: readonly SourceTable[],
    saved: SourceState | undefined,
  ): Promise<PreparedSource> {
    // Not one that a server keeps open which is not the one behind this name any more.
    await this.#control.close()
    const server = (this.#server = await readServerState(this.#control))
    if (saved === undefined) return await this.#begin(tables, server)
    const { slotName, log } = this.#how
    const position = fromPosition(saved.position)
    const record = parseIncarnation(saved.incarnation)
    const savedLog = { identity: record, position }
    const { identity, promoted } = await identifyLog(this.#options, slotName, savedLog, log)
    const slot = await readSlot(this.#control, slotName)
    const isPromoted = promoted !== undefined
    if (promoted?.beyond !== undefined && (slot?.currentLsn ?? zeroLsn) < position) {
      throw promoted.beyond
    }
    const reaching = expectSlotReaches(slot, {
      name: slotName,
      position,
      database: this.#options.database,
      isPromoted,
    })
    if (this.#wantsFailover) {
      await markForFailover(this.#options, { ...reaching, name: slotName }, log)
    }
    const isSame = await expectSameHistory(
      {
        ...this.#how,
        options: this.#options,
        control: this.#control,
        serverVersion: server.version,
        slotWaitMs: this.#slotWaitMs,
      },
      saved.position,
      reaching,
    )
    if (isPromoted) expectReadOn(promoted, reaching.confirmedLsn, isSame)
    const before = { fingerprint: record.publication, position, isPromoted }
    await this.#publication.prepare(tables, server, before)
    await this.#partitions.prepare(tables, server.version, record.partitions ?? {})
    this.#publication.trust.begin(position)
    const ids = tables.map(({ id }) => id)
    this.#look = await lookAtCatalog(this.#looks, ids)
    return {
      incarnation: this.#incarnation(identity),
      position: saved.position,
      ...(promoted === undefined ? {} : { branchedAt: toPosition(sameUpTo(promoted, position)) }),
    }
  }

  async #begin(tables: readonly SourceTable[], server: ServerState): Promise<PreparedSource> {
    const { slotName, failpoints, log } = this.#how
    const { identity } = await identifyLog(this.#options, slotName, undefined, log)
    await this.#publication.prepare(tables, server, undefined)
    await this.#partitions.prepare(tables, server.version, {})
    const { lsn, isMade } = await startSlot({
      options: this.#options,
      control: this.#control,
      log,
      clock: this.#how.clock,
      name: slotName,
      waitMs: this.#slotWaitMs,
      timeoutMs: this.#blockedTimeoutMs,
      isFailover: this.#wantsFailover,
      isChosen: this.#how.isSlotChosen === true,
    })
    if (isMade) this.#publication.slotMade(lsn)
    this.#publication.trust.begin(lsn)
    failpoints.hit('source.slot-created')
    const position = toPosition(lsn, markOfBegin(lsn))
    return { incarnation: this.#incarnation(identity), position }
  }

  #incarnation(identity: LogIdentity): SourceState['incarnation'] {
    const publication = this.#publication.fingerprint
    return this.remember(formatIncarnation({ ...identity, publication }))
  }

  remember(saved: SourceState['incarnation']): SourceState['incarnation'] {
    return this.#partitions.remember(saved, this.#publication.told)
  }

  get #wantsFailover(): boolean {
    const { isFailover = true } = this.#how
    return isFailover && this.#server !== undefined && canFailOver(this.#server)
  }

  async currentPosition(): Promise<Position> {
    return toPosition(await endOfLog(this.#control))
  }

  async canBeginCopy(table: SourceTable): Promise<boolean> {
    return await this.#publication.canCopy(table)
  }

  async beginSnapshot(table: SourceTable, options: BeginSnapshotOptions): Promise<TableSnapshot> {
    return await this.#copies.begin(table, options)
  }

  async resumeSnapshot(
    table: SourceTable,
    copy: UnfinishedCopy,
    options: BeginSnapshotOptions,
  ): Promise<ResumedSnapshot> {
    return await this.#copies.resume(table, copy, options)
  }

  parseSnapshotPoint(point: string): ReturnType<Source['parseSnapshotPoint']> {
    return parseSnapshotPoint(point)
  }

  async streamChanges(asked: StreamOptions): Promise<StreamEnd> {
    return await this.#hole.readBehind(asked, async (stream) => await this.#read(stream))
  }

  async #read(stream: StreamOptions): Promise<StreamEnd> {
    const { log, clock, slotName, publicationName, watchIntervalMs = 60_000 } = this.#how
    const publication = this.#publication
    const from = fromPosition(stream.from)
    publication.trust.begin(from)
    const server = await this.#serverState()
    const how = { intervalMs: watchIntervalMs, log }
    const promotion = server.isStandby ? watchPromotion(this.#control, how) : undefined
    const signals = [stream.signal, ...(promotion === undefined ? [] : [promotion.signal])]
    const reader = new ChangeStream(
      {
        options: this.#options,
        control: this.#control,
        log,
        clock,
        slotName,
        publicationNames: await publicationsFrom(this.#control, publicationName, from),
        publication,
        partitions: this.#partitions,
        unreadable: this.#unreadable,
        looks: this.#looks,
        look: this.#look,
        watchIntervalMs,
        walSenderTimeoutMs: this.#how.walSenderTimeoutMs ?? 60_000,
        slotWaitMs: this.#slotWaitMs,
        serverVersion: server.version,
        passed: (lsn) => this.#heartbeat.passed(lsn),
        spool: this.#spool,
        failpoints: this.#how.failpoints,
      },
      { ...stream, signal: AbortSignal.any(signals) },
    )
    reader.confirm(this.#acknowledged)
    this.#stream = reader
    const endHeartbeat = this.#heartbeat.start(server)
    try {
      const outcome = await reader.run()
      if (promotion?.signal.aborted === true && !stream.signal.aborted) throw promotedError()
      return outcome
    } catch (error) {
      // The next stream does without: the server then keeps large transactions itself.
      if (isSpoolError(error)) this.#spool = undefined
      throw error
    } finally {
      endHeartbeat()
      promotion?.end()
      this.#stream = undefined
    }
  }

  acknowledge(position: Position): void {
    const lsn = fromPosition(position)
    if (lsn <= this.#acknowledged) return
    this.#acknowledged = lsn
    this.#stream?.confirm(lsn)
  }

  async settle(): Promise<void> {
    const durable = this.#acknowledged
    if (durable === zeroLsn) return
    const { clock, slotName, publicationName } = this.#how
    const { version: serverVersion } = await this.#serverState()
    const publicationNames = await publicationsFrom(this.#control, publicationName, durable)
    const slot = { clock, slotName, publicationNames, serverVersion, slotWaitMs: this.#slotWaitMs }
    this.#silentTo = await confirmSlot(
      { options: this.#options, control: this.#control, ...slot },
      durable,
    )
  }

  async health(): Promise<SourceHealth> {
    const health = await slotHealth(this.#control, this.#how.slotName, this.#silentTo)
    return { ...health, roundTripMs: this.#heartbeat.roundTripMs }
  }

  async exactSnapshot(): Promise<ExactSnapshot> {
    const name = `sluice_exact_${process.pid}_${this.#how.clock.nowMs()}`
    return await exactSnapshot(this.#options, this.#control, name, this.#blockedTimeoutMs)
  }

  async openVerification(tables: readonly SourceTable[]): Promise<SourceVerification> {
    return await openVerification(this.#options, tables, async () => await this.exactSnapshot())
  }

  async dispose(): Promise<readonly string[]> {
    return await removeFromServer(this.#control, {
      slotName: this.#how.slotName,
      publicationName: this.#how.publicationName,
      database: this.#options.database,
      isSlotChosen: this.#how.isSlotChosen === true,
    })
  }

  async close(): Promise<void> {
    this.#copies.close()
    await this.#partitions.close()
    await this.#control.close()
  }
}

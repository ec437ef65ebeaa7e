/**
 * The change stream: from the slot through the pgoutput decoder into a ChangeSink, whole
 * transactions in commit order from exactly the asked place to exactly the asked place.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SteadyClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Failpoints } from '../../base/failpoint.ts'
import type { Log } from '../../observe/log.ts'
import type { StreamEnd, StreamOptions } from '../source.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { type CatalogLook, CatalogWatch, type LookOptions } from './ddl-watch.ts'
import { formatLsn, type Lsn, zeroLsn } from './lsn.ts'
import { createPgoutputDecoder, type PgoutputDecoder, readBegin } from './pgoutput/decode.ts'
import type { Relation } from './pgoutput/relation.ts'
import type { PartitionGuard } from './partition-guard.ts'
import { fromPosition, toPosition } from './position.ts'
import type { PublicationGuard } from './publication-guard.ts'
import { RelationBinder } from './relation-binder.ts'
import {
  expectSlotReaches,
  readSlot,
  type SlotExpectation,
  takenError,
} from './replication-slot.ts'
import { sqlStateOf } from './server-error.ts'
import { quoteIdentifier } from './sql-text.ts'
import { RolledBackRelations } from './spool-relations.ts'
import {
  prepareSpoolFolder,
  SpooledTransactions,
  type SpooledTarget,
  type SpoolOptions,
} from './spooled-transactions.ts'
import { canStream, startOptions } from './start-options.ts'
import { ReplicationConnection, type ReplicationHandler } from './wire/replication-connection.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface StreamContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly log: Log
  readonly clock: SteadyClock
  readonly slotName: string
  readonly publicationNames: readonly string[]
  readonly publication: Pick<PublicationGuard, 'watch' | 'takeGaps' | 'trust'>
  readonly partitions: Omit<PartitionGuard, 'prepare' | 'records' | 'copied'>
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

const beginMessage = 66
const commitMessage = 67
const relationMessage = 82
/** With `until`, how often the server is asked how far it has come. */
const askIntervalMs = 100

export class ChangeStream implements ReplicationHandler {
  readonly #context: StreamContext
  readonly #stream: StreamOptions
  readonly #from: Lsn
  readonly #until: Lsn | undefined
  readonly #binder: RelationBinder
  readonly #catalog: CatalogWatch
  readonly #decoder: PgoutputDecoder
  readonly #spooled: SpooledTransactions | undefined
  readonly #rolledBack = new RolledBackRelations()
  #replication: ReplicationConnection | undefined
  /** Before this everything was delivered, unless a transaction is open. */
  #deliveredTo: Lsn
  #keepaliveEnd: Lsn = zeroLsn
  #isSkipping = false
  #isDone = false
  #isRenewing = false
  #confirmed: Lsn = zeroLsn

  constructor(context: StreamContext, stream: StreamOptions) {
    this.#context = context
    this.#stream = stream
    this.#from = fromPosition(stream.from)
    this.#until = stream.until === undefined ? undefined : fromPosition(stream.until)
    this.#deliveredTo = this.#from
    const { control, log, partitions, looks } = context
    const { publicationName } = looks
    const { tables, sink } = stream
    const binder = new RelationBinder({ control, log, publicationName, tables, sink, partitions })
    this.#binder = binder
    this.#catalog = new CatalogWatch(
      {
        ...context.looks,
        sink: stream.sink,
        tables: binder.tableIds,
        followed: (id) => binder.followed(id),
        compare: (base, catalog, keepsMoves) => binder.compare(base, catalog, keepsMoves),
      },
      context.look,
    )
    this.#decoder = createPgoutputDecoder({
      sink: stream.sink,
      relations: this.#binder.relations,
      position: toPosition,
      isWhole: (table, truncated) => partitions.isWhole(table, truncated),
    })
    const { spool, serverVersion } = context
    if (spool !== undefined && canStream(serverVersion)) {
      this.#spooled = new SpooledTransactions(spool, this.#spooledTarget(), context.failpoints)
    }
  }

  #spooledTarget(): SpooledTarget {
    const isDone = (): boolean => this.#isDone
    return {
      message: (bytes, start, end) => this.#committed(bytes, start, end),
      rolledBackRelation: (bytes, start, end) => this.#rolledBack.keep(bytes, start, end),
      pressure: () => this.#decoder.pressure(),
      get isDone() {
        return isDone()
      },
    }
  }

  /** Resolves at `until`, when the signal is aborted, or when the session has to begin anew. */
  async run(): Promise<StreamEnd> {
    const { signal, sink } = this.#stream
    const { options, slotName, clock, log, walSenderTimeoutMs } = this.#context
    await this.#expectSlot()
    this.#deliverGaps()
    if (this.#until !== undefined && this.#until <= this.#from) {
      this.#catalog.passed(this.#from)
      sink.heartbeat(toPosition(this.#from))
      return 'ended'
    }
    const { spool } = this.#context
    if (this.#spooled !== undefined && spool !== undefined) await prepareSpoolFolder(spool.folder)
    const connection = await WireConnection.open(options, {
      isReplication: true,
      settings: { wal_sender_timeout: String(walSenderTimeoutMs) },
    })
    const replication = new ReplicationConnection(connection, clock, walSenderTimeoutMs / 6)
    this.#replication = replication
    replication.confirm(this.#confirmed)
    const stop = (): void => this.#finish()
    signal.addEventListener('abort', stop, { once: true })
    const timers = this.#startTimers(replication)
    try {
      if (signal.aborted) return 'ended'
      const doing = `reading slot "${slotName}"`
      await replication.stream(this.#startSql(), doing, this)
      return this.#isRenewing ? 'renew' : 'ended'
    } catch (error) {
      throw await this.#explain(error)
    } finally {
      this.#isDone = true
      for (const timer of timers) clearInterval(timer)
      signal.removeEventListener('abort', stop)
      connection.close()
      await this.#spooled?.close()
      log.debug('replication stream ended', {
        reads: connection.readCount,
        bytes: connection.readBytes,
      })
    }
  }

  /** Everything before `lsn` is durable. */
  confirm(lsn: Lsn): void {
    this.#confirmed = lsn > this.#confirmed ? lsn : this.#confirmed
    this.#replication?.confirm(lsn)
  }

  #startTimers(replication: ReplicationConnection): NodeJS.Timeout[] {
    const { publication, partitions, watchIntervalMs, log } = this.#context
    let isLooking = false
    const watch = setInterval(() => {
      // With a slow server looks would pile up, and each would find the same once more.
      if (isLooking) return
      isLooking = true
      void Promise.allSettled([publication.watch(), partitions.look()]).then((outcomes) => {
        isLooking = false
        for (const outcome of outcomes) {
          if (outcome.status === 'fulfilled') continue
          const error = String(outcome.reason)
          log.warn('publication and partitions could not be looked at', { error })
        }
        this.#deliverGaps()
      })
      this.#catalog.look().then(
        (isWaiting) => isWaiting && !this.#isDone && replication.sendStatus(true),
        (error: unknown) =>
          log.warn('the catalog could not be looked at', { error: String(error) }),
      )
    }, watchIntervalMs)
    if (this.#until === undefined) return [watch]
    return [watch, setInterval(() => replication.sendStatus(true), askIntervalMs)]
  }

  #startSql(): string {
    const { slotName } = this.#context
    const withStreaming = this.#spooled !== undefined
    const asked = startOptions({ ...this.#context, withStreaming })
    return `START_REPLICATION SLOT ${quoteIdentifier(slotName)} LOGICAL ${formatLsn(this.#from)} ${asked}`
  }

  #expected(): SlotExpectation {
    const { slotName: name, options } = this.#context
    return { name, position: this.#from, database: options.database }
  }

  /** Throws unless the slot has everything after `from` and nobody else reads from it. */
  async #expectSlot(): Promise<void> {
    const { control, slotName, clock, slotWaitMs } = this.#context
    const deadline = clock.elapsedMs() + slotWaitMs
    for (;;) {
      const found = await readSlot(control, slotName)
      const slot = expectSlotReaches(found, this.#expected())
      if (slot.activePid === undefined || this.#stream.signal.aborted) return
      if (clock.elapsedMs() >= deadline) throw await takenError(control, slotName, slot.activePid)
      await sleep(100)
    }
  }

  /** An error of the stream, told by the state of slot and publication rather than by its text. */
  async #explain(error: unknown): Promise<unknown> {
    const { control, slotName, publicationNames } = this.#context
    const state = sqlStateOf(error)
    if (state === undefined || !['42704', '55000', '55006', '58P01'].includes(state)) return error
    try {
      const found = await readSlot(control, slotName)
      const slot = expectSlotReaches(found, this.#expected())
      if (state === '55006' && slot.activePid !== undefined) {
        return await takenError(control, slotName, slot.activePid)
      }
    } catch (better) {
      return better
    }
    if (state !== '42704') return error
    return new SluiceError(
      'SOURCE_PUBLICATION_MISSING',
      `Publication "${publicationNames.join('" or "')}" did not exist at the place in the log that is being read`,
      {
        cause: error,
        remedy:
          'Run a full refresh of the tables of this gateway: the log cannot be read past that place.',
      },
    )
  }

  data(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    return this.#spooled?.takes(bytes[start]) === true
      ? this.#spooled.message(bytes, start, end)
      : this.#committed(bytes, start, end)
  }

  /** A message of a transaction that is known to have committed. */
  #committed(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    if (this.#rolledBack.isEmpty) return this.#decode(bytes, start, end)
    const due = this.#rolledBack.takeFor(bytes, start, end)
    if (due.length === 0) return this.#decode(bytes, start, end)
    return this.#decodeAfter(due, bytes.subarray(start, end))
  }

  async #decodeAfter(due: readonly Buffer[], message: Buffer): Promise<void> {
    for (const one of [...due, message]) {
      if (this.#isDone) return
      await this.#decode(one, 0, one.length)
    }
  }

  #decode(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const type = bytes[start]
    if (type === beginMessage) {
      const { finalLsn } = readBegin(bytes, start, end)
      if (this.#until !== undefined && finalLsn >= this.#until) {
        this.#reachUntil(this.#until)
        return undefined
      }
      this.#isSkipping = finalLsn < this.#from
    }
    if (this.#isSkipping && type !== relationMessage) {
      if (type === commitMessage) this.#isSkipping = false
      return undefined
    }
    const outcome = this.#decoder.message(bytes, start, end)
    if (outcome === 'done' || this.#decoder.relation === undefined) return undefined
    return this.#announce(this.#decoder.relation)
  }

  async #announce(relation: Relation): Promise<void> {
    const outcome = await this.#binder.bind(relation)
    if (this.#isDone) return
    const { sink } = this.#stream
    if (outcome.kind === 'gap') sink.gap(outcome.table, outcome.reason)
    else if (outcome.kind === 'bound' && outcome.changed !== undefined) {
      const { table, change } = outcome.changed
      this.#context.looks.order.note(table.schema)
      sink.schemaChanged(table, change)
    }
  }

  keepalive(walEnd: Lsn): void {
    this.#keepaliveEnd = walEnd
  }

  readDone(): Promise<void> | undefined {
    if (!this.#decoder.inTransaction && !this.#isDone) {
      this.#deliverGaps()
      this.#deliverPosition()
    }
    return this.#decoder.pressure()
  }

  #deliverPosition(): void {
    const committed = this.#decoder.endLsn as Lsn
    if (committed > this.#deliveredTo) this.#deliveredTo = committed
    this.#context.partitions.passed(this.#deliveredTo)
    this.#catalog.passed(this.#deliveredTo)
    const end = this.#keepaliveEnd
    if (end <= this.#deliveredTo) return this.#passed()
    if (this.#until !== undefined && end >= this.#until) {
      this.#reachUntil(this.#until)
      return
    }
    this.#deliveredTo = end
    this.#catalog.passed(end)
    this.#stream.sink.heartbeat(toPosition(end))
    this.#passed()
  }

  #passed(): void {
    this.#context.passed(this.#deliveredTo)
    const { renewAfter } = this.#context.publication.trust
    if (renewAfter === undefined || this.#deliveredTo < renewAfter) return
    this.#isRenewing = true
    this.#finish()
  }

  #reachUntil(until: Lsn): void {
    this.#context.partitions.passed(until)
    this.#deliverGaps()
    this.#catalog.passed(until)
    this.#stream.sink.heartbeat(toPosition(until))
    this.#finish()
  }

  #finish(): void {
    this.#isDone = true
    this.#replication?.stop()
  }

  #deliverGaps(): void {
    if (this.#isDone || this.#decoder.inTransaction) return
    const { publication, partitions } = this.#context
    for (const [table, reason] of [...publication.takeGaps(), ...partitions.takeGaps()]) {
      this.#stream.sink.gap(table, reason)
    }
  }
}

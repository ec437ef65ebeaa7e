/**
 * The change stream: from the slot through the pgoutput decoder into a ChangeSink, whole
 * transactions in commit order from exactly the asked place to exactly the asked place.
 */
import { asSluiceError } from '../../base/errors.ts'
import type { StreamEnd, StreamOptions } from '../source.ts'
import { TriggerWatch } from './ddl-trigger-watch.ts'
import { CatalogWatch } from './ddl-watch.ts'
import { type Lsn, zeroLsn } from './lsn.ts'
import {
  createPgoutputDecoder,
  type PgoutputDecoder,
  readBegin,
  readCommit,
} from './pgoutput/decode.ts'
import { messageType } from './pgoutput/message-type.ts'
import type { Relation } from './pgoutput/relation.ts'
import { fromPosition } from './position.ts'
import { PositionMarks } from './position-marks.ts'
import { RelationBinder } from './relation-binder.ts'
import { RolledBackRelations } from './spool-relations.ts'
import {
  prepareSpoolFolder,
  SpooledTransactions,
  type SpooledTarget,
} from './spooled-transactions.ts'
import { canStream, startStatement } from './start-options.ts'
import type { StreamContext } from './stream-context.ts'
import { lookAtParts } from './stream-looks.ts'
import { expectSlot, explainStreamError } from './stream-slot.ts'
import { ReplicationConnection, type ReplicationHandler } from './wire/replication-connection.ts'
import { WireConnection } from './wire/wire-connection.ts'

/** After a change that the triggers told of. */
const lookSoonMs = 500
/** With `until`, how often the server is asked how far it has come. */
const askIntervalMs = 100

export class ChangeStream implements ReplicationHandler {
  readonly #context: StreamContext
  readonly #stream: StreamOptions
  readonly #from: Lsn
  readonly #until: Lsn | undefined
  readonly #marks: PositionMarks
  readonly #binder: RelationBinder
  readonly #catalog: CatalogWatch
  readonly #triggers: TriggerWatch
  readonly #decoder: PgoutputDecoder
  readonly #spooled: SpooledTransactions | undefined
  readonly #rolledBack = new RolledBackRelations()
  #replication: ReplicationConnection | undefined
  /** Before this everything was delivered, unless a transaction is open. */
  #deliveredTo: Lsn
  #keepaliveEnd: Lsn = zeroLsn
  #isSkipping = false
  #isDone = false
  /** Begin of a transaction that had nothing for us so far. */
  #held: Buffer | undefined
  #isRenewing = false
  #isLooking = false
  /** Event triggers were installed meanwhile. */
  #wantsTriggers = false
  #lookSoon: NodeJS.Timeout | undefined
  #confirmed: Lsn = zeroLsn

  constructor(context: StreamContext, stream: StreamOptions) {
    this.#context = context
    this.#stream = stream
    this.#from = fromPosition(stream.from)
    this.#until = stream.until === undefined ? undefined : fromPosition(stream.until)
    this.#deliveredTo = this.#from
    this.#marks = new PositionMarks(stream.from)
    const { control, log, partitions, looks } = context
    const { publicationName } = looks
    const { tables, sink } = stream
    this.#triggers = new TriggerWatch(context)
    const { described } = this.#triggers
    const more = { partitions, described }
    const binder = new RelationBinder({ control, log, publicationName, tables, sink, ...more })
    this.#binder = binder
    this.#catalog = new CatalogWatch(
      {
        ...context.looks,
        sink: stream.sink,
        tables: binder.tableIds,
        followed: (id) => binder.followed(id),
        compare: (base, catalog, how) => binder.compare(base, catalog, how),
      },
      context.look,
    )
    this.#decoder = createPgoutputDecoder({
      sink: stream.sink,
      relations: this.#binder.relations,
      position: this.#marks.at,
      isWhole: (table, truncated) => partitions.isWhole(table, truncated),
      truncated: (oid, xid) => context.looks.truncates.note(oid, xid),
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
    await expectSlot(this.#context, this.#from, this.#stream.signal)
    this.#deliverGaps()
    if (this.#until !== undefined && this.#until <= this.#from) {
      this.#catalog.passed(this.#from)
      sink.heartbeat(this.#marks.at(this.#from))
      return 'ended'
    }
    const { spool } = this.#context
    if (this.#spooled !== undefined && spool !== undefined) await prepareSpoolFolder(spool.folder)
    const withMessages = await this.#triggers.begin()
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
      await replication.stream(this.#startSql(withMessages), doing, this)
      return this.#isRenewing ? 'renew' : 'ended'
    } catch (error) {
      const { unreadable } = this.#decoder
      if (unreadable === undefined) throw await explainStreamError(error, this.#context, this.#from)
      // Half of its row may be with the sink, which drops it with its transaction.
      this.#context.unreadable.set(unreadable, asSluiceError(error).message)
      return 'renew'
    } finally {
      this.#isDone = true
      for (const timer of timers) clearInterval(timer)
      clearTimeout(this.#lookSoon)
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
    const watch = setInterval(() => this.#lookAround(replication), this.#context.watchIntervalMs)
    if (this.#until === undefined) return [watch]
    return [watch, setInterval(() => replication.sendStatus(true), askIntervalMs)]
  }

  #lookAround(replication: ReplicationConnection): void {
    const { log } = this.#context
    // With a slow server looks would pile up, and each would find the same once more.
    if (!this.#isLooking) {
      this.#isLooking = true
      void lookAtParts(this.#context).then(() => {
        this.#isLooking = false
        this.#deliverGaps()
      })
    }
    this.#catalog.look().then(
      (isWaiting) => isWaiting && !this.#isDone && replication.sendStatus(true),
      (error: unknown) => log.warn('the catalog could not be looked at', { error: String(error) }),
    )
    this.#triggers.look().then(
      (isNew) => (this.#wantsTriggers ||= isNew),
      (error: unknown) =>
        log.warn('event triggers could not be looked at', { error: String(error) }),
    )
  }

  #startSql(withMessages: boolean): string {
    const withStreaming = this.#spooled !== undefined
    const asked = { ...this.#context, withStreaming, withMessages }
    return startStatement(this.#context.slotName, this.#from, asked)
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
    return this.#decodeAfter(due, Buffer.from(bytes.subarray(start, end)))
  }

  async #decodeAfter(due: readonly Buffer[], message: Buffer): Promise<void> {
    for (const one of [...due, message]) {
      if (this.#isDone) return
      await this.#decode(one, 0, one.length)
    }
  }

  /** Before a transaction begins: a read brings many, and none begins while a copy holds the stream. */
  #decodeLater(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const pressure = this.#decoder.pressure()
    if (pressure === undefined) return undefined
    const message = Buffer.from(bytes.subarray(start, end))
    return pressure.then(async () => {
      if (!this.#isDone) await this.#decode(message, 0, message.length)
    })
  }

  #decode(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const type = bytes[start]
    if (type === messageType.begin) {
      const later = this.#decodeLater(bytes, start, end)
      if (later !== undefined) return later
      const begun = readBegin(bytes, start, end)
      if (this.#until !== undefined && begun.finalLsn >= this.#until) {
        this.#reachUntil(this.#until)
        return undefined
      }
      this.#isSkipping = begun.finalLsn < this.#from
      if (!this.#isSkipping) this.#marks.begin(begun)
    }
    // Until the next begin.
    if (this.#isSkipping && type !== messageType.relation) return undefined
    this.#marks.message(type)
    if (!this.#triggers.isHeard || this.#isSkipping) return this.#deliver(bytes, start, end)
    return this.#deliverHeard(bytes, start, end)
  }

  /** With logical messages, transactions come that have nothing else; they are none for the sink. */
  #deliverHeard(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const type = bytes[start]
    if (type === messageType.begin) {
      this.#held = Buffer.from(bytes.subarray(start, end))
      return undefined
    }
    const held = this.#held
    // Since it is held the stream may be as well.
    const later =
      held === undefined || type === messageType.commit
        ? undefined
        : this.#decodeLater(bytes, start, end)
    if (later !== undefined) return later
    if (type === messageType.message && !this.#triggers.message(bytes, start, end)) return undefined
    this.#held = undefined
    if (held !== undefined && type === messageType.commit) {
      const { endLsn } = readCommit(bytes, start, end)
      if (endLsn > this.#keepaliveEnd) this.#keepaliveEnd = endLsn as Lsn
      return undefined
    }
    if (held !== undefined) this.#decoder.message(held, 0, held.length)
    if (type !== messageType.commit) return this.#deliver(bytes, start, end)
    this.#followWaiting()
    this.#decoder.message(bytes, start, end)
    return this.#triggers.described.ended() ? this.#lookHere() : undefined
  }

  #deliver(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const outcome = this.#decoder.message(bytes, start, end)
    if (outcome === 'done' || this.#decoder.relation === undefined) return undefined
    return this.#announce(this.#decoder.relation)
  }

  get #isBetween(): boolean {
    return !this.#decoder.inTransaction && this.#held === undefined
  }

  /** The transaction ends: what was described of tables without any row since holds from here on. */
  #followWaiting(): void {
    for (const [base, { catalog, ...told }] of this.#triggers.takeWaiting(this.#binder)) {
      const decision = this.#binder.compare(base, catalog, told)
      if (decision.kind === 'same') continue
      this.#context.looks.order.note(decision.table.schema)
      this.#stream.sink.schemaChanged(decision.table, decision.change)
    }
  }

  /** Nothing later is delivered before; once more, for what the server shows late. */
  async #lookHere(): Promise<void> {
    const replication = this.#replication
    if (this.#isDone || replication === undefined) return
    clearTimeout(this.#lookSoon)
    this.#lookSoon = setTimeout(() => this.#lookAround(replication), lookSoonMs)
    await lookAtParts(this.#context)
    this.#deliverGaps()
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
    if (this.#isBetween && !this.#isDone) {
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
    this.#context.partitions.passed(end)
    this.#deliverGaps()
    this.#catalog.passed(end)
    this.#stream.sink.heartbeat(this.#marks.at(end))
    this.#passed()
  }

  #passed(): void {
    this.#context.passed(this.#deliveredTo)
    const { renewAfter } = this.#context.publication.trust
    if (this.#wantsTriggers && this.#until === undefined) {
      this.#isRenewing = true
      return this.#finish()
    }
    if (renewAfter === undefined || this.#deliveredTo < renewAfter) return
    this.#isRenewing = true
    this.#finish()
  }

  #reachUntil(until: Lsn): void {
    this.#context.partitions.passed(until)
    this.#deliverGaps()
    this.#catalog.passed(until)
    this.#stream.sink.heartbeat(this.#marks.at(until))
    this.#finish()
  }

  #finish(): void {
    this.#isDone = true
    this.#replication?.stop()
  }

  #deliverGaps(): void {
    if (this.#isDone || !this.#isBetween) return
    const { publication, partitions, unreadable } = this.#context
    const gaps = [...publication.takeGaps(), ...partitions.takeGaps(), ...unreadable]
    unreadable.clear()
    for (const [table, reason] of gaps) this.#stream.sink.gap(table, reason)
  }
}

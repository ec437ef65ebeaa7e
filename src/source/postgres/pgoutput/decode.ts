/**
 * pgoutput (protocol version 1, text cells) from bytes to calls of a ChangeSink. Pure: no I/O, no
 * clock; what is known of relations is a map in the caller's hands.
 * Format: PostgreSQL documentation, "Logical Replication Message Formats".
 */
import { hasCode } from '../../../base/errors.ts'
import type { ChangeOp, ChangeSink, RowTarget } from '../../change-sink.ts'
import type { Position } from '../../source.ts'
import type { TableId } from '../../table-schema.ts'
import { appendCell } from '../cell-decoder.ts'
import { cellErrorAt } from '../cell-error.ts'
import { readIgnored } from './ignored-message.ts'
import { unknownRow } from './known-row.ts'
import { MessageReader } from './message-reader.ts'
import { messageType } from './message-type.ts'
import { unexpectedMessage } from './protocol-error.ts'
import { readRelation, type Relation, type RelationBinding, type RelationMap } from './relation.ts'
import {
  createTupleCells,
  keepKeyCells,
  keyDiffers,
  nullCell,
  scanTuple,
  type TupleCells,
  unsentCell,
} from './tuple.ts'

export interface PgoutputDecoderOptions {
  readonly sink: ChangeSink
  /** Read for every run of rows; the caller writes it (see `MessageOutcome`). */
  readonly relations: RelationMap
  /** The position after a transaction, from the end LSN of its commit. */
  readonly position: (endLsn: bigint) => Position
  /** Whether a table has no rows outside of these of its partitions; left out: it always has. */
  readonly isWhole?: (table: TableId, partitions: ReadonlySet<number>) => boolean
  /** The open transaction truncates the relation. */
  readonly truncated?: (oid: number, xid: number) => void
}

/**
 * `relation`: an `R` message was read and stands in `decoder.relation`. Before the next message
 * the caller looks the table up (it may take its time), tells the sink if the schema changed, and
 * sets `relations` for that oid. Everything else is `done`.
 */
export type MessageOutcome = 'done' | 'relation'

export interface BeginMessage {
  /** LSN of the commit record of the transaction that begins. */
  readonly finalLsn: bigint
  /** Microseconds since 1970-01-01T00:00:00Z. */
  readonly commitTimeUs: bigint
  readonly xid: number
}

/** Message `B`, for a caller that must know of a transaction before it is delivered. */
export function readBegin(bytes: Uint8Array, start: number, end: number): BeginMessage {
  const reader = new MessageReader(bytes, start, end)
  const begin = { finalLsn: reader.lsn(), commitTimeUs: reader.timestamp(), xid: reader.uint32() }
  reader.finish()
  return begin
}

export interface CommitMessage {
  readonly commitLsn: bigint
  /** End of the commit record. */
  readonly endLsn: bigint
}

/** Message `C`. */
export function readCommit(bytes: Uint8Array, start: number, end: number): CommitMessage {
  const reader = new MessageReader(bytes, start, end)
  reader.skip(1)
  const commit = { commitLsn: reader.lsn(), endLsn: reader.lsn() }
  reader.skip(8)
  reader.finish()
  return commit
}

/** Tags before a tuple. */
const tupleKind = { new: 78, key: 75, old: 79 } as const

/**
 * Any error thrown by `message` ends the decoder: the sink's open transaction has to be dropped
 * and the stream read again from the last position. Errors: SOURCE_PROTOCOL_UNEXPECTED with the
 * message type and offset, SOURCE_VALUE_MALFORMED.
 */
export class PgoutputDecoder {
  /** The relation of the last `R` message. */
  relation: Relation | undefined
  /** Of the open or the last transaction. */
  finalLsn = 0n
  commitTimeUs = 0n
  xid = 0
  /** End of the last complete transaction; 0 before the first. */
  endLsn = 0n
  inTransaction = false
  /** Whose cell did not read as a value of its column, when that ended the decoder. */
  unreadable: TableId | undefined

  readonly #sink: ChangeSink
  readonly #relations: RelationMap
  readonly #position: (endLsn: bigint) => Position
  readonly #options: PgoutputDecoderOptions
  readonly #new = createTupleCells()
  readonly #old = createTupleCells()
  #bytes: Uint8Array = new Uint8Array(0)
  #view = new DataView(this.#bytes.buffer)
  /** Where rows of the relation last seen go; asked for anew after any other call of the sink. */
  #targetOid = -1
  #binding: RelationBinding | undefined
  #target: RowTarget | undefined

  constructor(options: PgoutputDecoderOptions) {
    this.#sink = options.sink
    this.#relations = options.relations
    this.#position = options.position
    this.#options = options
  }

  /** Decodes one message, `bytes[start, end)`; the bytes are not kept. */
  message(bytes: Uint8Array, start: number, end: number): MessageOutcome {
    switch (bytes[start]) {
      case messageType.insert:
        this.#insert(this.#viewOf(bytes), start, end)
        return 'done'
      case messageType.update:
        this.#update(this.#viewOf(bytes), start, end)
        return 'done'
      case messageType.delete:
        this.#delete(this.#viewOf(bytes), start, end)
        return 'done'
      case messageType.begin:
        this.#begin(bytes, start, end)
        return 'done'
      case messageType.commit:
        this.#commit(bytes, start, end)
        return 'done'
      case messageType.relation:
        this.#forgetTarget()
        this.relation = readRelation(bytes, start, end)
        return 'relation'
      case messageType.truncate:
        this.#truncate(bytes, start, end)
        return 'done'
      case messageType.origin:
      case messageType.type:
      case messageType.message:
        readIgnored(bytes, start, end)
        return 'done'
      default:
        throw unexpectedMessage(bytes[start] ?? 0, 0, 'not a message of protocol version 1')
    }
  }

  /** `sink.pressure()`; ask here, not at the sink, because waiting makes row targets stale. */
  pressure(): Promise<void> | undefined {
    const pressure = this.#sink.pressure()
    if (pressure !== undefined) this.#forgetTarget()
    return pressure
  }

  /** One view a buffer: messages come many to a buffer, and a view costs more than a message. */
  #viewOf(bytes: Uint8Array): DataView {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    return this.#view
  }

  #forgetTarget(): void {
    this.#targetOid = -1
    this.#binding = undefined
    this.#target = undefined
  }

  #begin(bytes: Uint8Array, start: number, end: number): void {
    if (this.inTransaction) throw unexpectedMessage(messageType.begin, 0, 'a transaction is open')
    const { finalLsn, commitTimeUs, xid } = readBegin(bytes, start, end)
    this.finalLsn = finalLsn
    this.commitTimeUs = commitTimeUs
    this.xid = xid
    this.inTransaction = true
    this.#forgetTarget()
    this.#sink.begin({ tag: xid, commitTimeUs, place: finalLsn })
  }

  #commit(bytes: Uint8Array, start: number, end: number): void {
    if (!this.inTransaction)
      throw unexpectedMessage(messageType.commit, 0, 'no transaction is open')
    const { commitLsn, endLsn } = readCommit(bytes, start, end)
    if (commitLsn !== this.finalLsn) {
      throw unexpectedMessage(
        messageType.commit,
        2,
        'it ends another transaction than the open one',
      )
    }
    this.inTransaction = false
    this.endLsn = endLsn
    this.#forgetTarget()
    this.#sink.commit(this.#position(endLsn))
  }

  #truncate(bytes: Uint8Array, start: number, end: number): void {
    if (!this.inTransaction)
      throw unexpectedMessage(messageType.truncate, 0, 'no transaction is open')
    const reader = new MessageReader(bytes, start, end)
    const count = reader.uint32()
    reader.skip(1)
    const tables: TableId[] = []
    const partitions = new Map<TableId, Set<number>>()
    for (let index = 0; index < count; index++) {
      const oid = reader.uint32()
      const binding = this.#relations.get(oid)
      if (binding === undefined) throw reader.error('the relation was never announced')
      this.#options.truncated?.(oid, this.xid)
      if (binding === 'ignored') continue
      const { id } = binding.table
      if (binding.partition === undefined) tables.push(id)
      else partitions.set(id, (partitions.get(id) ?? new Set()).add(oid))
    }
    reader.finish()
    this.#forgetTarget()
    this.#truncatePartitions(partitions, tables)
    if (tables.length > 0) this.#sink.truncate(tables)
  }

  /** Which rows of a table were in some of its partitions is not known: rows do not say. */
  #truncatePartitions(truncated: ReadonlyMap<TableId, Set<number>>, whole: TableId[]): void {
    for (const [table, partitions] of truncated) {
      if (this.#options.isWhole?.(table, partitions) === true) whole.push(table)
      else this.#sink.gap(table, 'some of its partitions were truncated')
    }
  }

  /** Makes `#binding` and `#target` those of the relation at `start + 1`; false: skip the row. */
  #aim(bytes: DataView, start: number, end: number): boolean {
    const type = bytes.getUint8(start)
    if (start + 6 > end) throw unexpectedMessage(type, end - start, 'cut short')
    const oid = bytes.getUint32(start + 1)
    if (oid !== this.#targetOid) this.#aimAt(oid, type)
    return this.#target !== undefined
  }

  #aimAt(oid: number, type: number): void {
    if (!this.inTransaction) throw unexpectedMessage(type, 0, 'no transaction is open')
    const binding = this.#relations.get(oid)
    if (binding === undefined) {
      throw unexpectedMessage(type, 1, `relation ${oid} was never announced`)
    }
    this.#targetOid = oid
    this.#binding = binding === 'ignored' ? undefined : binding
    this.#target = binding === 'ignored' ? undefined : this.#sink.rowsFor(binding.table)
    const watch = this.#binding?.partition?.watch
    if (watch === undefined || watch.isOver) return
    if (type === messageType.insert) watch.note(this.xid, 'added')
    else if (type === messageType.delete) watch.note(this.xid, 'removed')
    // The next row is to be noted as well.
    this.#targetOid = -1
  }

  /** The tuple at `at` into `cells`, by the open relation; returns the offset after it. */
  #scan(bytes: DataView, start: number, at: number, end: number, cells: TupleCells): number {
    const columnCount = this.#binding?.relation.columns.length ?? 0
    return scanTuple(bytes, start, at, end, columnCount, cells)
  }

  #insert(bytes: DataView, start: number, end: number): void {
    if (!this.#aim(bytes, start, end)) return
    if (bytes.getUint8(start + 5) !== tupleKind.new) {
      throw unexpectedMessage(messageType.insert, 5, 'no new tuple')
    }
    expectEnd(bytes, start, this.#scan(bytes, start, start + 6, end, this.#new), end)
    if (this.#new.unsentCount > 0) this.#gap('an inserted row came without all its values')
    else if (this.#keyIsSent(this.#new, undefined)) this.#row('i', bytes, this.#new, undefined)
  }

  #update(bytes: DataView, start: number, end: number): void {
    if (!this.#aim(bytes, start, end)) return
    let at = start + 5
    const kind = bytes.getUint8(at)
    let old: TupleCells | undefined
    if (kind === tupleKind.key || kind === tupleKind.old) {
      old = this.#old
      at = this.#scan(bytes, start, at + 1, end, old)
      if (kind === tupleKind.key) keepKeyCells(old, this.#binding?.relation.columns ?? [])
    }
    if (at >= end || bytes.getUint8(at) !== tupleKind.new) {
      throw unexpectedMessage(messageType.update, at - start, 'no new tuple')
    }
    expectEnd(bytes, start, this.#scan(bytes, start, at + 1, end, this.#new), end)
    const binding = this.#binding
    if (binding === undefined || !this.#rowIsKnown(old)) return
    const { keyPlaces, table } = binding
    if (!this.#keyIsSent(this.#new, old)) return
    const isMove = table.schema.identity === 'full-row'
    if (old !== undefined && (isMove || keyDiffers(bytes, keyPlaces, old, this.#new))) {
      if (!this.#keyIsSent(old, undefined)) return
      this.#row('d', bytes, old, undefined)
      this.#row('i', bytes, this.#new, old)
    } else {
      this.#row('u', bytes, this.#new, old)
    }
  }

  #delete(bytes: DataView, start: number, end: number): void {
    if (!this.#aim(bytes, start, end)) return
    const kind = bytes.getUint8(start + 5)
    if (kind !== tupleKind.key && kind !== tupleKind.old) {
      throw unexpectedMessage(messageType.delete, 5, 'no old tuple')
    }
    expectEnd(bytes, start, this.#scan(bytes, start, start + 6, end, this.#old), end)
    if (kind === tupleKind.key) keepKeyCells(this.#old, this.#binding?.relation.columns ?? [])
    if (!this.#rowIsKnown(this.#old)) return
    if (this.#keyIsSent(this.#old, undefined)) this.#row('d', bytes, this.#old, undefined)
  }

  /** One row to the open target; cells that `cells` lacks come from `old` when that has them. */
  #row(op: ChangeOp, bytes: DataView, cells: TupleCells, old: TupleCells | undefined): void {
    const target = this.#target
    const binding = this.#binding
    if (target === undefined || binding === undefined) return
    const { places, decoders } = binding
    const { columns } = target
    const { starts, ends } = cells
    target.startRow(op)
    let index = 0
    try {
      for (; index < places.length; index++) {
        const place = places[index] as number
        const builder = columns[index] as (typeof columns)[number]
        const decoder = decoders[index] as (typeof decoders)[number]
        const start = starts[place] as number
        if (start >= 0) {
          appendCell(decoder, builder, bytes, start, ends[place] as number)
        } else if (start === nullCell) {
          builder.appendNull()
        } else {
          const before = old === undefined ? unsentCell : (old.starts[place] as number)
          if (before >= 0) appendCell(decoder, builder, bytes, before, old?.ends[place] as number)
          else if (before === nullCell) builder.appendNull()
          else builder.appendAbsent()
        }
      }
    } catch (error) {
      const { schema, table } = binding.relation
      if (hasCode(error, 'SOURCE_VALUE_MALFORMED')) this.unreadable = binding.table.id
      throw cellErrorAt(error, `${schema}.${table}.${columns[index]?.name}`)
    }
    target.endRow()
  }

  /** False, and a gap is recorded, when the row's key is not sent. */
  #keyIsSent(cells: TupleCells, old: TupleCells | undefined): boolean {
    const binding = this.#binding
    if (binding === undefined) return false
    if (cells.unsentCount > 0) {
      for (const place of binding.keyPlaces) {
        if (cells.starts[place] !== unsentCell) continue
        if (old === undefined || old.starts[place] === unsentCell) {
          this.#gap('a key column came without its value')
          return false
        }
      }
    }
    return true
  }

  /** False, and a gap is recorded, when the message does not say which row it means. */
  #rowIsKnown(old: TupleCells | undefined): boolean {
    const problem = this.#binding === undefined ? undefined : unknownRow(this.#binding, old)
    if (problem !== undefined) this.#gap(problem)
    return problem === undefined
  }

  #gap(reason: string): void {
    const table = this.#binding?.table
    this.#forgetTarget()
    if (table !== undefined) this.#sink.gap(table.id, reason)
  }
}

export function createPgoutputDecoder(options: PgoutputDecoderOptions): PgoutputDecoder {
  return new PgoutputDecoder(options)
}

function expectEnd(bytes: DataView, start: number, at: number, end: number): void {
  if (at !== end)
    throw unexpectedMessage(bytes.getUint8(start), at - start, `${end - at} bytes too many`)
}

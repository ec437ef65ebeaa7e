/**
 * A consistent copy of one table: one session takes and exports a snapshot, others read chunks of
 * the table under it by COPY. Which transactions the copy shows is known exactly, so the stream can
 * leave them out.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SteadyClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { SnapshotSink, TransactionInfo } from '../change-sink.ts'
import type { SnapshotChunk, TableSnapshot } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { createCopyTextDecoder } from './copy-text.ts'
import { type CatalogTable, discoverById } from './discover.ts'
import { parseLsn } from './lsn.ts'
import { describeBlockers } from './replication-slot.ts'
import {
  formatSnapshotPoint,
  isVisible,
  parsePgSnapshot,
  type SnapshotPointRecord,
} from './snapshot-point.ts'
import { quoteIdentifier, quoteLiteral, quoteTable, shownTable } from './sql-text.ts'
import { expectCapturable } from './table-requirements.ts'
import { pushLog } from './wal-flush.ts'
import { copyOut } from './wire/copy-out.ts'
import { WireConnection } from './wire/wire-connection.ts'

export interface SnapshotContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly log: Log
  readonly clock: SteadyClock
  readonly serverVersion: number
  /** How long to wait for a snapshot that shows all it has to. */
  readonly timeoutMs: number
}

export interface SnapshotRequest {
  readonly table: SourceTable
  /** Transactions that the copy has to show. */
  readonly delivered: readonly TransactionInfo[]
  /** The copy has to show every transaction below this 64-bit id. */
  readonly since: bigint
}

interface Taken {
  readonly point: SnapshotPointRecord
  readonly name: string
  readonly blocks: number
}

/** Smaller tables are read in one piece, larger ones in pieces of this size. */
const chunkBytes = 64 * 1024 * 1024
const maxChunks = 4096
/** A range of ctids is a range of blocks to the planner from this version on. */
const tidRangeScanVersion = 140000

/** Errors: SOURCE_TABLE_*, SOURCE_SLOT_BLOCKED when older transactions do not end. */
export async function beginTableSnapshot(
  context: SnapshotContext,
  request: SnapshotRequest,
): Promise<TableSnapshot> {
  const { options, control } = context
  const leader = await WireConnection.open(options)
  try {
    const taken = await takeSnapshot(context, request, leader)
    // Nobody can change or truncate the table as long as the leader holds its lock.
    const catalog = await expectUnchanged(context, request.table)
    await pushLog(control)
    return new CopiedTable(context, { catalog, leader, taken, table: request.table })
  } catch (error) {
    leader.destroy()
    throw error
  }
}

async function takeSnapshot(
  context: SnapshotContext,
  request: SnapshotRequest,
  leader: WireConnection,
): Promise<Taken> {
  const { control, clock, timeoutMs } = context
  const { table, delivered, since } = request
  const deadline = clock.elapsedMs() + timeoutMs
  for (let pauseMs = 5; ; pauseMs = Math.min(250, pauseMs * 2)) {
    const taken = await tryTake(context, table, leader)
    const lacks = delivered.filter((transaction) => !isVisible(taken.point, transaction.tag))
    if (taken.point.xmin >= since && lacks.length === 0) return taken
    await leader.query('ROLLBACK', 'giving a snapshot up')
    if (clock.elapsedMs() >= deadline) {
      const who = await describeBlockers(control, since)
      throw new SluiceError(
        'SOURCE_SLOT_BLOCKED',
        `A copy of ${shownTable(table.name)} could not begin within ${timeoutMs} ms, because of ${who}`,
      )
    }
    await sleep(pauseMs)
  }
}

/** The lock comes before the snapshot: what truncates or rewrites a table is not hidden by one. */
async function tryTake(
  context: SnapshotContext,
  table: SourceTable,
  leader: WireConnection,
): Promise<Taken> {
  const name = await currentName(context.control, table)
  const doing = `taking a snapshot of ${name}`
  await leader.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY', doing)
  await leader.query(`LOCK TABLE ONLY ${name} IN ACCESS SHARE MODE`, doing)
  const sql = `SELECT pg_current_snapshot(), pg_current_wal_insert_lsn(),
      (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, pg_export_snapshot(),
      pg_relation_size(c.oid, 'main') / current_setting('block_size')::int
    FROM pg_class c WHERE c.oid = ${table.id} AND c.oid = to_regclass(${quoteLiteral(name)})`
  const [row] = await leader.query(sql, doing)
  if (row === undefined) throw missing(table)
  const [snapshot, lsn, at, exported, blocks] = row
  const point = {
    ...parsePgSnapshot(snapshot ?? ''),
    lsn: parseLsn(lsn ?? ''),
    takenAtUs: BigInt(at ?? ''),
  }
  return { point, name: exported ?? '', blocks: Number(blocks) }
}

function missing(table: SourceTable): SluiceError {
  return new SluiceError(
    'SOURCE_TABLE_MISSING',
    `${shownTable(table.name)} (oid ${table.id}) does not exist any more`,
  )
}

/** The table's name now, quoted: it may have been renamed. */
async function currentName(control: Control, table: SourceTable): Promise<string> {
  const sql = `SELECT n.nspname AS schema, c.relname AS name FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::oid`
  const [row] = await control.query(sql, [table.id])
  if (row === undefined) throw missing(table)
  return quoteTable({ schema: row['schema'] ?? '', table: row['name'] ?? '' })
}

/** Throws SOURCE_TABLE_CHANGED when the table is not the one that was asked for any more. */
async function expectUnchanged(
  context: SnapshotContext,
  table: SourceTable,
): Promise<CatalogTable> {
  const [now] = await discoverById(context.control, [table.id], context.log)
  if (now === undefined) throw missing(table)
  expectCapturable(now)
  const before = table.schema.columns
  const after = now.table.schema.columns
  const isSame =
    before.length === after.length &&
    JSON.stringify(table.schema.key) === JSON.stringify(now.table.schema.key) &&
    after.every((column, place) => {
      const other = before[place]
      // A column may be taken as nullable although it is not (any more).
      return (
        other?.name === column.name &&
        other.sourceType === column.sourceType &&
        JSON.stringify(other.type) === JSON.stringify(column.type) &&
        (other.nullable || !column.nullable)
      )
    })
  if (isSame) return now
  const shown = after.map((column) => `${column.name} ${column.sourceType}`).join(', ')
  throw new SluiceError(
    'SOURCE_TABLE_CHANGED',
    `${shownTable(table.name)} has other columns or another key now: ${shown}; key ${now.table.schema.key.join(', ')}`,
  )
}

/** Block numbers at which chunks begin. */
export function chunkStarts(blocks: number, blockBytes: number, canSplit: boolean): number[] {
  const perChunk = Math.max(Math.ceil(chunkBytes / blockBytes), Math.ceil(blocks / maxChunks))
  if (!canSplit || blocks <= perChunk) return [0]
  return Array.from({ length: Math.ceil(blocks / perChunk) }, (_, index) => index * perChunk)
}

interface CopiedTableParts {
  readonly catalog: CatalogTable
  readonly table: SourceTable
  readonly leader: WireConnection
  readonly taken: Taken
}

class CopiedTable implements TableSnapshot {
  readonly point: string
  readonly chunks: readonly SnapshotChunk[]
  readonly #context: SnapshotContext
  readonly #parts: CopiedTableParts
  readonly #starts: readonly number[]
  /** Sessions under the snapshot that read nothing just now. */
  readonly #idle: WireConnection[] = []
  readonly #all = new Set<WireConnection>()
  #isClosed = false

  constructor(context: SnapshotContext, parts: CopiedTableParts) {
    const { taken, table } = parts
    this.#context = context
    this.#parts = parts
    this.point = formatSnapshotPoint(taken.point)
    const canSplit = context.serverVersion >= tidRangeScanVersion
    this.#starts = chunkStarts(taken.blocks, 8192, canSplit)
    const rows = table.estimatedRows
    this.chunks = this.#starts.map((start, id) => {
      const blocks = (this.#starts[id + 1] ?? taken.blocks) - start
      const share = taken.blocks === 0 ? 1 : blocks / taken.blocks
      return { id, estimatedRows: rows === undefined ? undefined : Math.round(rows * share) }
    })
  }

  async readChunk(chunk: SnapshotChunk, sink: SnapshotSink, signal: AbortSignal): Promise<void> {
    const { catalog } = this.#parts
    const connection = this.#idle.pop() ?? (await this.#openReader(signal))
    const decoder = createCopyTextDecoder(catalog.decoders, sink)
    const doing = `copying ${shownTable(catalog.table.name)}, chunk ${chunk.id}`
    await copyOut(
      connection,
      { sql: this.#copySql(chunk), doing },
      {
        row: (bytes, start, end) => decoder.row(bytes, start, end),
        pressure: () => sink.pressure(),
      },
      signal,
    )
    this.#idle.push(connection)
  }

  #copySql(chunk: SnapshotChunk): string {
    const { table } = this.#parts.catalog
    const columns = table.schema.columns.map((column) => quoteIdentifier(column.name)).join(', ')
    const name = quoteTable(table.name)
    if (this.#starts.length === 1) return `COPY ${name} (${columns}) TO STDOUT`
    const bounds: string[] = []
    const [from, to] = [this.#starts[chunk.id], this.#starts[chunk.id + 1]]
    if (from === undefined) throw new RangeError(`no chunk ${chunk.id}`)
    if (from > 0) bounds.push(`ctid >= '(${from},0)'`)
    if (to !== undefined) bounds.push(`ctid < '(${to},0)'`)
    return `COPY (SELECT ${columns} FROM ONLY ${name} WHERE ${bounds.join(' AND ')}) TO STDOUT`
  }

  async #openReader(signal: AbortSignal): Promise<WireConnection> {
    const connection = await WireConnection.open(this.#context.options)
    this.#all.add(connection)
    if (this.#isClosed || signal.aborted) {
      connection.destroy()
      throw new SluiceError('ABORTED', 'The copy was stopped')
    }
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await connection.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(this.#parts.taken.name)}`)
    return connection
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const connection of [...this.#all, this.#parts.leader]) connection.close()
    await Promise.resolve()
  }
}

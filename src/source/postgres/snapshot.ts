/**
 * The begin of a consistent copy of one table: a session takes and exports a snapshot at a moment at
 * which it shows all it has to. Which transactions the copy shows is known exactly, so the stream
 * can leave them out; and a copy that was cut off can go on under a newer snapshot.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SteadyClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import type { Log } from '../../observe/log.ts'
import type { TransactionInfo } from '../change-sink.ts'
import type { ResumedSnapshot, StreamHold, TableSnapshot, UnfinishedCopy } from '../source.ts'
import type { SourceTable } from '../table-schema.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import { CopiedTable } from './copied-table.ts'
import {
  chunkBlocks,
  type ChunkPlanOptions,
  type CopiedRelation,
  planRestOfCopy,
  planWholeCopy,
} from './copy-chunks.ts'
import { type CatalogTable, discoverById } from './discover.ts'
import { beginLocked, relock, tableMissing } from './leader-lock.ts'
import { parseLsn } from './lsn.ts'
import { type ExactSnapshot, exactSnapshot } from './exact-snapshot.ts'
import { fromPosition } from './position.ts'
import { shownPartitions } from './partition-copy.ts'
import { expectPartitionsCapturable } from './partition-requirements.ts'
import type { PartitionTree } from './partition-tree.ts'
import type { IdleSessions } from './idle-sessions.ts'
import { describeBlockers } from './replication-slot.ts'
import { parsePgSnapshot, pointBefore, shows, type SnapshotPointRecord } from './snapshot-point.ts'
import { quoteLiteral, shownTable } from './sql-text.ts'
import { expectCapturable } from './table-requirements.ts'
import { pushLog } from './wal-flush.ts'
import type { WireConnection } from './wire/wire-connection.ts'

export interface SnapshotContext {
  readonly options: PostgresOptions
  readonly control: Control
  readonly sessions: IdleSessions
  readonly log: Log
  readonly publicationName: string
  readonly clock: SteadyClock
  readonly serverVersion: number
  /** There snapshots do not list what runs, so one that belongs to an exact place is taken. */
  readonly isStandby: boolean
  /** How long to wait for a snapshot that shows all it has to. */
  readonly timeoutMs: number
  /** Larger tables are read in pieces of about this size, where the server can. */
  readonly chunkBytes: number
}

export interface SnapshotRequest {
  readonly table: SourceTable
  /** Transactions that the copy has to show. */
  readonly delivered: readonly TransactionInfo[]
  /** Held when the copy has begun. */
  readonly stream?: StreamHold
  /** The copy has to show every transaction below this 64-bit id. */
  readonly since: bigint
  readonly signal?: AbortSignal | undefined
  /** Told which partitions the copy shows. */
  readonly onPartitions?: (tree: PartitionTree) => Promise<void>
}

interface Taken {
  readonly point: SnapshotPointRecord
  readonly name: string
  readonly relations: readonly CopiedRelation[]
  readonly blockBytes: number
  readonly release: (() => Promise<void>) | undefined
  /** The lock holds everything that the snapshot shows. */
  readonly isHeld: boolean
  /** Of a partitioned table. */
  readonly tree?: PartitionTree
}

/** A range of ctids is a range of blocks to the planner from this version on. */
const tidRangeScanVersion = 140000

/** Errors: SOURCE_TABLE_*, SOURCE_SLOT_BLOCKED when older transactions do not end, ABORTED. */
export async function beginTableSnapshot(
  context: SnapshotContext,
  request: SnapshotRequest,
): Promise<TableSnapshot> {
  return await withLeader(context, request, async (leader) => {
    const { taken, catalog } = await takeSnapshot(context, request, leader)
    const chunks = planWholeCopy(planOptions(context, taken, catalog))
    return new CopiedTable(context, { catalog, leader, chunks, ...taken })
  })
}

/** As above; a copy that cannot go on is a value. */
export async function resumeTableSnapshot(
  context: SnapshotContext,
  request: SnapshotRequest,
  copy: UnfinishedCopy,
): Promise<ResumedSnapshot> {
  return await withLeader(context, request, async (leader) => {
    const { taken, catalog } = await takeSnapshot(context, request, leader)
    const chunks = planRestOfCopy(planOptions(context, taken, catalog), copy, taken.point)
    if (typeof chunks === 'string') {
      leader.close()
      await taken.release?.()
      return { kind: 'refused', reason: chunks }
    }
    const snapshot = new CopiedTable(context, { catalog, leader, chunks, ...taken })
    return { kind: 'resumed', snapshot }
  })
}

/**
 * The id below which a snapshot has to show every transaction, because an earlier process may have
 * been sent them: a commit that waits for a synchronous standby is sent before any query sees it.
 * To be asked once a process, before its first copy.
 */
export async function unseenBefore(control: Control): Promise<bigint> {
  // A new id, because a snapshot's xmax may be the very one that waits.
  const [row] = await control.query(`SELECT
    CASE WHEN current_setting('synchronous_standby_names') = '' OR pg_is_in_recovery() THEN '0'
      ELSE pg_current_xact_id()::text END AS id`)
  return BigInt(row?.['id'] ?? '0')
}

async function withLeader<T>(
  { options, sessions }: SnapshotContext,
  { signal, table }: SnapshotRequest,
  begin: (leader: WireConnection) => Promise<T>,
): Promise<T> {
  const leader = await sessions.open(options)
  const stop = (): void => leader.destroy()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    if (signal?.aborted === true) throw stopped(table)
    return await begin(leader)
  } catch (error) {
    leader.destroy()
    throw signal?.aborted === true ? stopped(table) : error
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

function stopped(table: SourceTable): SluiceError {
  return new SluiceError('ABORTED', `Stopped before a copy of ${shownTable(table.name)} began`)
}

function planOptions(
  { serverVersion, chunkBytes, isStandby }: SnapshotContext,
  { relations, blockBytes }: Taken,
  { table }: CatalogTable,
): ChunkPlanOptions {
  const canSplit = serverVersion >= tidRangeScanVersion
  const blocks = relations.reduce((sum, relation) => sum + relation.blocks, 0)
  return {
    relations,
    blockBytes,
    perChunk: chunkBlocks(blocks, { chunkBytes, blockBytes }, canSplit),
    // The place of an exact snapshot says nothing of the ids in rows.
    isResumable: canSplit && !isStandby && table.schema.key.length > 0,
    estimatedRows: table.estimatedRows,
  }
}

async function takeSnapshot(
  context: SnapshotContext,
  request: SnapshotRequest,
  leader: WireConnection,
): Promise<{ readonly taken: Taken; readonly catalog: CatalogTable }> {
  const taken = await takeShowing(context, request, leader)
  // Nobody can change or truncate the table as long as the leader holds its lock.
  try {
    await leader.query('SET LOCAL lock_timeout TO DEFAULT', 'beginning a copy')
    const catalog = await expectUnchanged(context, request.table)
    await expectPartitionsCapturable(context.control, catalog.table)
    if (taken.tree !== undefined) await request.onPartitions?.(taken.tree)
    await pushLog(context.control)
    return { taken, catalog }
  } catch (error) {
    await taken.release?.()
    throw error
  }
}

/**
 * Takes snapshots until one shows all it has to. Locks are waited for while the stream goes on, and
 * it goes on again when a snapshot does not come soon that shows what it has delivered.
 */
async function takeShowing(
  context: SnapshotContext,
  request: SnapshotRequest,
  leader: WireConnection,
): Promise<Taken> {
  const { control, clock, timeoutMs } = context
  const { table, since, stream } = request
  const deadline = clock.elapsedMs() + timeoutMs
  for (let pauseMs = 5; ; pauseMs = Math.min(1_000, pauseMs * 2)) {
    const name = await beginLocked(control, table, leader)
    const delivered = [...request.delivered, ...((await stream?.take()) ?? [])]
    const taken = await takeHeld(context, { ...request, delivered }, leader, name)
    if (taken !== undefined) return taken
    stream?.give()
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

/** How long all tables stand still for a transaction that was delivered before queries see it. */
const mostHeldMs = 500

/** The stream is held and the table locked. undefined: it is to go on first; nothing is open then. */
async function takeHeld(
  context: SnapshotContext,
  { table, delivered, since }: SnapshotRequest,
  leader: WireConnection,
  lockedAs: string,
): Promise<Taken | undefined> {
  const { clock, control, isStandby } = context
  const until = clock.elapsedMs() + mostHeldMs
  let name: string | undefined = lockedAs
  for (let pauseMs = 5; name !== undefined; pauseMs = Math.min(50, pauseMs * 2)) {
    const taken = await take(context, table, leader, name)
    const lacks = delivered.filter((transaction) => !shows(taken.point, transaction))
    // A snapshot of an exact place was waited for until all older transactions had ended.
    const isLate = isStandby || taken.point.xmin >= since
    if (isLate && lacks.length === 0 && taken.isHeld) return taken
    await taken.release?.()
    await leader.query('ROLLBACK', 'giving a snapshot up')
    // Older transactions take their time, and so does an exact snapshot.
    if (!isLate || isStandby || clock.elapsedMs() >= until) return undefined
    await sleep(pauseMs)
    name = await relock(control, table, leader)
  }
  return undefined
}

async function take(
  context: SnapshotContext,
  table: SourceTable,
  leader: WireConnection,
  name: string,
): Promise<Taken> {
  const exact = context.isStandby ? await importExact(context, leader) : undefined
  try {
    return await lookThrough(leader, table, name, exact)
  } catch (error) {
    // Its slot would hold log and old rows at the source for as long as this process lives.
    await exact?.close()
    throw error
  }
}

/** What the leader's snapshot, its first query's or an exact one, shows of the table. */
async function lookThrough(
  leader: WireConnection,
  table: SourceTable,
  name: string,
  exact: ExactSnapshot | undefined,
): Promise<Taken> {
  const own =
    exact === undefined
      ? 'pg_current_snapshot(), pg_current_wal_insert_lsn(), pg_export_snapshot()'
      : 'NULL, NULL, NULL'
  const sql = `SELECT ${own}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
      pg_relation_size(c.oid, 'main'), current_setting('block_size'), pg_relation_filenode(c.oid)
    FROM pg_class c WHERE c.oid = ${table.id} AND c.oid = to_regclass(${quoteLiteral(name)})`
  const [row] = await leader.query(sql, `taking a snapshot of ${name}`)
  if (row === undefined) throw tableMissing(table)
  const [snapshot, lsn, exported, at, bytes, blockSize, filenode] = row
  const blockBytes = Number(blockSize)
  const blocks = Math.ceil(Number(bytes) / blockBytes)
  const takenAtUs = BigInt(at ?? '')
  const point =
    exact === undefined
      ? { ...parsePgSnapshot(snapshot ?? ''), lsn: parseLsn(lsn ?? ''), takenAtUs }
      : pointBefore(fromPosition(exact.position), takenAtUs)
  const whole = { relation: table.id, filenode: filenode ?? '', name, blocks }
  const shown =
    table.isPartitioned === true
      ? await shownPartitions(leader, table, name, blockBytes)
      : { relations: [whole] }
  const release = exact === undefined ? undefined : async (): Promise<void> => await exact.close()
  const snapshotName = exact?.snapshotName ?? exported ?? ''
  const parts = { relations: [], ...shown, isHeld: shown !== undefined }
  return { point, name: snapshotName, blockBytes, release, ...parts }
}

/** After the lock and before any query. */
async function importExact(
  { options, control, clock, timeoutMs }: SnapshotContext,
  leader: WireConnection,
): Promise<ExactSnapshot> {
  const slot = `sluice_copy_${process.pid}_${clock.nowMs()}`
  const exact = await exactSnapshot(options, control, slot, timeoutMs)
  try {
    await leader.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(exact.snapshotName)}`)
    return exact
  } catch (error) {
    await exact.close()
    throw error
  }
}

/** Throws SOURCE_TABLE_CHANGED when the table is not the one that was asked for any more. */
async function expectUnchanged(
  context: SnapshotContext,
  table: SourceTable,
): Promise<CatalogTable> {
  const [now] = await discoverById(context.control, [table.id], context)
  if (now === undefined) throw tableMissing(table)
  expectCapturable(now, table.schema.identity)
  const before = table.schema.columns
  const after = now.table.schema.columns
  const identity = table.schema.identity
  // Inserts alone are wanted of a table only as long as there is nothing better.
  const isSame =
    (identity === 'insert-only' ? undefined : identity) === now.table.schema.identity &&
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

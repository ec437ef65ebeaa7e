/** A copy of one table under one snapshot: sessions of its own read chunks of it by COPY. */
import { SluiceError } from '../../base/errors.ts'
import type { SnapshotSink } from '../change-sink.ts'
import type { SnapshotChunk, TableSnapshot } from '../source.ts'
import { blocksIn, mayBeNewerSql, rangeSql } from './block-ranges.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { PlannedChunk } from './copy-chunks.ts'
import { createCopyTextDecoder } from './copy-text.ts'
import type { CatalogTable } from './discover.ts'
import type { IdleSessions } from './idle-sessions.ts'
import { sqlStateOf } from './server-error.ts'
import { formatSnapshotPoint, type SnapshotPointRecord } from './snapshot-point.ts'
import { quoteIdentifier, quoteLiteral, shownTable } from './sql-text.ts'
import { copyOut } from './wire/copy-out.ts'
import { WireConnection } from './wire/wire-connection.ts'

/** Of a snapshot that is not there: since version 16, and before. */
const noSnapshot: ReadonlySet<string | undefined> = new Set(['42704', '22023'])

export interface CopiedTableParts {
  readonly catalog: CatalogTable
  /** Holds the lock and the snapshot. */
  readonly leader: WireConnection
  readonly point: SnapshotPointRecord
  /** Of the exported snapshot. */
  readonly name: string
  /** Ends what keeps the exported snapshot, if the leader does not. */
  readonly release?: (() => Promise<void>) | undefined
  readonly blockBytes: number
  /** By id. */
  readonly chunks: readonly PlannedChunk[]
}

export class CopiedTable implements TableSnapshot {
  readonly point: string
  readonly chunks: readonly SnapshotChunk[]
  readonly takenAtUs: bigint
  readonly readBytes: number
  readonly #options: PostgresOptions
  readonly #sessions: IdleSessions
  readonly #parts: CopiedTableParts
  /** Sessions under the snapshot that read nothing just now. */
  readonly #idle: WireConnection[] = []
  readonly #all = new Set<WireConnection>()
  #isClosed = false
  /** Why the leader read no further: nobody can read under the snapshot any more. */
  #lost: unknown

  constructor(
    { options, sessions }: { readonly options: PostgresOptions; readonly sessions: IdleSessions },
    parts: CopiedTableParts,
  ) {
    this.#options = options
    this.#sessions = sessions
    this.#parts = parts
    this.point = formatSnapshotPoint(parts.point)
    this.takenAtUs = parts.point.takenAtUs
    this.chunks = parts.chunks.map(({ chunk }) => chunk)
    this.readBytes = parts.chunks.reduce((sum, { since, range, relation }) => {
      const blocks = since === undefined ? 0 : blocksIn(range, relation.blocks)
      return sum + blocks * parts.blockBytes
    }, 0)
    // Nobody else reads beside the only chunk, so no other session is needed.
    if (parts.chunks.length === 1) this.#idle.push(parts.leader)
  }

  async readChunk(chunk: SnapshotChunk, sink: SnapshotSink, signal: AbortSignal): Promise<void> {
    const { catalog, leader } = this.#parts
    if (this.#lost !== undefined) throw this.#lost
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
    ).catch((error: unknown) => {
      if (connection === leader) this.#lost = error
      throw error
    })
    this.#idle.push(connection)
  }

  #copySql(chunk: SnapshotChunk): string {
    const planned = this.#parts.chunks[chunk.id]
    if (planned === undefined) throw new RangeError(`no chunk ${chunk.id}`)
    const { table, columns: known } = this.#parts.catalog
    const columns = table.schema.columns.map((column) => quoteIdentifier(column.name)).join(', ')
    const { relation, since, range } = planned
    const bounds = [
      ...(rangeSql(range) === undefined ? [] : [rangeSql(range)]),
      ...(since === undefined ? [] : [mayBeNewerSql(since)]),
    ]
    // A partitioned table without partitions has no rows, but can only be asked, not copied.
    const isEmptyRoot = table.isPartitioned === true && relation.relation === table.id
    // Generated columns can only be asked for, too.
    const isAsked = isEmptyRoot || known.some(({ isGenerated }) => isGenerated === true)
    if (bounds.length === 0 && !isAsked) return `COPY ${relation.name} (${columns}) TO STDOUT`
    const where = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`
    return `COPY (SELECT ${columns} FROM ONLY ${relation.name}${where}) TO STDOUT`
  }

  async #openReader(signal: AbortSignal): Promise<WireConnection> {
    const connection = await WireConnection.open(this.#options)
    this.#all.add(connection)
    if (this.#isClosed || signal.aborted) {
      connection.destroy()
      throw new SluiceError('ABORTED', 'The copy was stopped')
    }
    await connection.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    try {
      await connection.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(this.#parts.name)}`)
    } catch (error) {
      connection.destroy()
      throw noSnapshot.has(sqlStateOf(error)) ? this.#snapshotGone(error) : error
    }
    return connection
  }

  #snapshotGone(cause: unknown): SluiceError {
    const table = shownTable(this.#parts.catalog.table.name)
    const message = `The session that held the snapshot of the copy of ${table} has ended`
    return new SluiceError('SOURCE_CONNECTION_LOST', message, { cause })
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const { leader, chunks } = this.#parts
    const isReading = chunks.length === 1 && !this.#idle.includes(leader)
    for (const connection of this.#all) connection.close()
    if (isReading || leader.isClosed) leader.close()
    else await this.#sessions.giveBack(leader)
    await this.#parts.release?.()
  }
}

/** One copy of one table in progress under one snapshot: which chunks are left, which are staged. */
import type { ColumnBuilder } from '../columnar/column-builder.ts'
import type { SnapshotChunk, TableSnapshot } from '../source/source.ts'
import type { SnapshotChunkEntry, StagedFile } from '../staging/manifest.ts'
import { snapshotFilePath } from '../staging/layout.ts'
import type { CopyLedger } from './copy-ledger.ts'
import type { FollowedTable } from './followed-table.ts'

export class TableCopy {
  readonly table: FollowedTable
  readonly snapshot: TableSnapshot
  readonly snapshotId: number
  readonly schemaVersion: number
  readonly ledger: CopyLedger
  /** Of chunks that are finished, for the next ones. */
  readonly freeColumns: (readonly ColumnBuilder[])[] = []
  readonly #abort = new AbortController()
  readonly #left: SnapshotChunk[]
  readonly #beganMs: number
  /** Number of the first chunk. */
  readonly #first: number
  readonly #resumption: number
  #unstaged: number
  #reading = 0
  #isRefreshing = false
  readonly #named = new Set<number>()

  /** `table` was told of the copy already; its ledger already counts these chunks. */
  constructor(table: FollowedTable, snapshot: TableSnapshot, beganMs: number) {
    this.table = table
    this.snapshot = snapshot
    this.snapshotId = table.snapshotId
    this.schemaVersion = table.schemaVersion
    if (table.ledger === undefined) throw new RangeError('the table knows nothing of its copy')
    this.ledger = table.ledger
    this.#resumption = this.ledger.resumption
    this.#first = this.ledger.nextNumber - snapshot.chunks.length
    this.#left = [...snapshot.chunks]
    this.#unstaged = snapshot.chunks.length
    this.#beganMs = beganMs
    table.copyProgress.begin(snapshot)
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get hasWork(): boolean {
    return this.#left.length > 0 && !this.#abort.signal.aborted
  }

  /** Chunks under way. */
  get isReading(): boolean {
    return this.#reading > 0
  }

  /** All chunks are staged, though not all published. */
  get isStaged(): boolean {
    return this.#unstaged === 0
  }

  /** The table still follows this very copy. */
  get isCurrent(): boolean {
    return (
      !this.#abort.signal.aborted &&
      this.table.state === 'snapshotting' &&
      this.table.snapshotId === this.snapshotId
    )
  }

  /**
   * The snapshot is older than `maxAgeMs` and the rest can be read under another one. Never before
   * one chunk is staged, so that every snapshot brings the copy on; never once the refresh has
   * begun, which has to be as of one moment.
   */
  isTooOld(nowMs: number, maxAgeMs: number): boolean {
    if (nowMs - this.#beganMs < maxAgeMs || this.#isRefreshing || !this.hasWork) return false
    const staged = this.snapshot.chunks.length - this.#left.length - this.#reading
    return staged > 0 && this.ledger.canResume
  }

  takeChunk(): SnapshotChunk | undefined {
    const chunk = this.#left.shift()
    if (chunk === undefined) return undefined
    this.#reading++
    if (chunk.refresh === true) this.#isRefreshing = true
    return chunk
  }

  /** Whatever came of a chunk that was taken. */
  endChunk(): void {
    this.#reading--
  }

  abort(): void {
    this.#abort.abort()
  }

  /** The chunk's own number first; further files of it and repeated tries get numbers beyond. */
  pathFor(chunk: SnapshotChunk, epoch: number): string {
    const isFirst = !this.#named.has(chunk.id)
    this.#named.add(chunk.id)
    return snapshotFilePath({
      tableId: this.table.table.id,
      snapshotId: this.snapshotId,
      chunk: isFirst ? this.#first + chunk.id : this.ledger.takeNumber(),
      epoch,
    })
  }

  stage(chunk: SnapshotChunk, files: readonly StagedFile[], nowMs: number): void {
    this.#unstaged--
    this.table.copyProgress.staged(chunk)
    for (const file of files) this.table.stagedRows += file.rows
    const entry: SnapshotChunkEntry = {
      kind: 'snapshot_chunk',
      table_id: this.table.table.id,
      snapshot_id: this.snapshotId,
      schema_version: this.schemaVersion,
      chunk: this.#first + chunk.id,
      files,
      ...(chunk.range === undefined ? {} : { range: chunk.range }),
      ...(this.#resumption === 0 ? {} : { resumption: this.#resumption }),
      ...(chunk.refresh === true ? { refresh: true } : {}),
    }
    this.ledger.stage(entry, nowMs)
    this.table.copyFailures = 0
  }
}

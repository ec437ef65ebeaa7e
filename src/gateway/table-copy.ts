/** One copy of one table in progress: which chunks are left, which are staged but not published. */
import type { SnapshotChunk, TableSnapshot } from '../source/source.ts'
import type { SnapshotChunkEntry, StagedFile } from '../staging/manifest.ts'
import { snapshotFilePath } from '../staging/layout.ts'
import type { FollowedTable } from './followed-table.ts'

export class TableCopy {
  readonly table: FollowedTable
  readonly snapshot: TableSnapshot
  readonly snapshotId: number
  readonly schemaVersion: number
  readonly #abort = new AbortController()
  readonly #left: SnapshotChunk[]
  #unstaged: number
  #entries: SnapshotChunkEntry[] = []
  #entriesSinceMs = 0
  #fileNumber = 0
  readonly #named = new Set<number>()

  /** `table` was told of the copy already. */
  constructor(table: FollowedTable, snapshot: TableSnapshot) {
    this.table = table
    this.snapshot = snapshot
    this.snapshotId = table.snapshotId
    this.schemaVersion = table.schemaVersion
    this.#left = [...snapshot.chunks]
    this.#unstaged = snapshot.chunks.length
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get hasWork(): boolean {
    return this.#left.length > 0 && !this.#abort.signal.aborted
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

  takeChunk(): SnapshotChunk | undefined {
    return this.#left.shift()
  }

  abort(): void {
    this.#abort.abort()
  }

  /** The chunk's own number first; further files of it and repeated tries get numbers beyond. */
  pathFor(chunk: SnapshotChunk, epoch: number): string {
    const { length } = this.snapshot.chunks
    const number = chunk.id < length && this.#isFirstFile(chunk) ? chunk.id : this.#nextNumber()
    return snapshotFilePath({
      tableId: this.table.table.id,
      snapshotId: this.snapshotId,
      chunk: number,
      epoch,
    })
  }

  stage(chunk: SnapshotChunk, files: readonly StagedFile[], nowMs: number): void {
    if (this.#entries.length === 0) this.#entriesSinceMs = nowMs
    this.#unstaged--
    for (const file of files) this.table.stagedRows += file.rows
    this.#entries.push({
      kind: 'snapshot_chunk',
      table_id: this.table.table.id,
      snapshot_id: this.snapshotId,
      schema_version: this.schemaVersion,
      chunk: chunk.id,
      files,
    })
  }

  /** How long the oldest unpublished chunk has waited, ms; 0 without one. */
  waitedMs(nowMs: number): number {
    return this.#entries.length === 0 ? 0 : nowMs - this.#entriesSinceMs
  }

  takeEntries(): readonly SnapshotChunkEntry[] {
    return this.#entries.splice(0)
  }

  #isFirstFile(chunk: SnapshotChunk): boolean {
    if (this.#named.has(chunk.id)) return false
    this.#named.add(chunk.id)
    return true
  }

  #nextNumber(): number {
    return this.snapshot.chunks.length + this.#fileNumber++
  }
}

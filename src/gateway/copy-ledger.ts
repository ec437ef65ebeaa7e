/**
 * What is staged of one copy of a table, over all the times it was cut off and resumed: from it the
 * copy goes on. The log of the staging volume says the same (see `recover.ts`).
 */
import type { UnfinishedCopy } from '../source/source.ts'
import type { SnapshotChunkEntry } from '../staging/manifest.ts'
import type { RecoveredChunk } from '../staging/recovered-log.ts'

export interface BegunCopy {
  /** Of the rows that are copied. */
  readonly schemaVersion: number
  readonly points: readonly string[]
  /** Greater than that of any chunk or file of the copy. */
  readonly nextNumber: number
}

export class CopyLedger {
  readonly schemaVersion: number
  readonly #points: string[]
  readonly #chunks: RecoveredChunk[]
  /** Staged, but not on record yet. */
  #entries: SnapshotChunkEntry[] = []
  #entriesSinceMs = 0
  #nextNumber: number

  constructor(begun: BegunCopy, chunks: readonly RecoveredChunk[] = []) {
    this.schemaVersion = begun.schemaVersion
    this.#points = [...begun.points]
    this.#chunks = [...chunks]
    this.#nextNumber = begun.nextNumber
  }

  /** Number of the newest point. */
  get resumption(): number {
    return this.#points.length - 1
  }

  /** Something is staged that need not be read again. */
  get canResume(): boolean {
    return this.#chunks.length > 0 && this.#chunks.every(({ range }) => range !== undefined)
  }

  get copy(): UnfinishedCopy {
    const chunks = this.#chunks.map(({ range = '', point }) => ({ range, point }))
    return { points: this.#points, chunks }
  }

  /** Also the first number of the chunks, should the copy be resumed now. */
  get nextNumber(): number {
    return this.#nextNumber
  }

  takeNumber(): number {
    return this.#nextNumber++
  }

  /** The copy goes on under `point` with `chunks` more chunks. */
  resume(point: string, chunks: number): void {
    this.#points.push(point)
    this.#nextNumber += chunks
  }

  stage(entry: SnapshotChunkEntry, nowMs: number): void {
    if (this.#entries.length === 0) this.#entriesSinceMs = nowMs
    this.#entries.push(entry)
    this.#chunks.push({ range: entry.range, point: entry.resumption ?? 0 })
  }

  /** How long the oldest unpublished chunk has waited, ms; 0 without one. */
  waitedMs(nowMs: number): number {
    return this.#entries.length === 0 ? 0 : nowMs - this.#entriesSinceMs
  }

  /** What is to be published next; whoever takes it publishes it. */
  takeEntries(): readonly SnapshotChunkEntry[] {
    return this.#entries.splice(0)
  }
}

/**
 * How far the copy of a table is, in bytes of the source. It never goes back: not when a chunk fails,
 * not when a copy that was cut off goes on, and not when the source's estimates were wrong.
 */
import type { SnapshotChunk, TableSnapshot } from '../source/source.ts'

export interface CopiedBytes {
  readonly doneBytes: number
  readonly totalBytes: number
}

/** Of a chunk that is not whole yet: its size is an estimate. */
const mostOfChunk = 0.95

interface ChunkProgress {
  readonly bytes: number
  read: number
  isStaged: boolean
}

export class CopyProgress {
  #chunks = new Map<number, ChunkProgress>()
  #before = 0
  #total = 0
  #share = 0

  /** The copy begins, or goes on, with the chunks of `snapshot`. */
  begin({ chunks, readBytes = 0 }: Pick<TableSnapshot, 'chunks' | 'readBytes'>): void {
    this.#before = readBytes
    this.#chunks = new Map(
      chunks.map(({ id, estimatedBytes = 1 }) => [
        id,
        { bytes: Math.max(1, estimatedBytes), read: 0, isStaged: false },
      ]),
    )
    this.#total = [...this.#chunks.values()].reduce((sum, { bytes }) => sum + bytes, readBytes)
  }

  /** Bytes of the chunk that were read; negative when they have to be read again. */
  read({ id }: Pick<SnapshotChunk, 'id'>, bytes: number): void {
    const chunk = this.#chunks.get(id)
    if (chunk !== undefined) chunk.read = Math.max(0, chunk.read + bytes)
  }

  staged({ id }: Pick<SnapshotChunk, 'id'>): void {
    const chunk = this.#chunks.get(id)
    if (chunk !== undefined) chunk.isStaged = true
  }

  /** undefined before the copy has begun. */
  get bytes(): CopiedBytes | undefined {
    if (this.#total === 0) return undefined
    let done = this.#before
    for (const { bytes, read, isStaged } of this.#chunks.values()) {
      done += isStaged ? bytes : Math.min(read, bytes * mostOfChunk)
    }
    this.#share = Math.max(this.#share, Math.min(1, done / this.#total))
    return { doneBytes: Math.floor(this.#share * this.#total), totalBytes: this.#total }
  }
}

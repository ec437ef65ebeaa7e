/**
 * How far the names of data files that the log names reach, so that it can be told of a file whether
 * an earlier part of the log could name it: as large as the chunks of unfinished copies.
 */
import type { LogBase } from './log-base.ts'
import type { Manifest, ManifestEntry } from './manifest.ts'
import type { LogSink } from './read-log.ts'

export interface CopyFilesState {
  /** No change file that was told has a greater first sequence; decimal. undefined: there was none. */
  readonly greatestSequence: string | undefined
  /** The newest copy of each table that is neither finished nor given up, with all its files. */
  readonly copies: readonly {
    readonly tableId: string
    readonly snapshotId: number
    readonly paths: readonly string[]
  }[]
}

interface OpenCopy {
  readonly snapshotId: number
  readonly paths: string[]
}

export class CopyFiles implements LogSink {
  #greatestSequence: string | undefined
  readonly #copies = new Map<string, OpenCopy>()

  begin(base: LogBase): void {
    this.#copies.clear()
    this.#greatestSequence = base.last_sequence
  }

  /** Instead of `begin`. */
  restore(state: CopyFilesState): void {
    this.#copies.clear()
    this.#greatestSequence = state.greatestSequence
    for (const { tableId, snapshotId, paths } of state.copies) {
      this.#copies.set(tableId, { snapshotId, paths: [...paths] })
    }
  }

  take(manifest: Manifest): void {
    this.#reach(manifest.last_sequence)
    for (const entry of manifest.entries) this.#note(entry)
  }

  /** What `restore` goes on from. */
  state(): CopyFilesState {
    return {
      greatestSequence: this.#greatestSequence,
      copies: [...this.#copies].map(([tableId, { snapshotId, paths }]) => ({
        tableId,
        snapshotId,
        paths: [...paths],
      })),
    }
  }

  #note(entry: ManifestEntry): void {
    switch (entry.kind) {
      case 'snapshot_started':
        this.#copies.set(entry.table_id, { snapshotId: entry.snapshot_id, paths: [] })
        break
      case 'snapshot_chunk': {
        const copy = this.#copies.get(entry.table_id)
        if (copy?.snapshotId !== entry.snapshot_id) break
        for (const { path } of entry.files) copy.paths.push(path)
        break
      }
      case 'snapshot_finished':
        if (this.#copies.get(entry.table_id)?.snapshotId !== entry.snapshot_id) break
        this.#copies.delete(entry.table_id)
        break
      case 'gap':
        this.#copies.delete(entry.table_id)
        break
      case 'changes':
        this.#reach(entry.max_sequence)
        break
      case 'schema_change':
        this.#reach(entry.sequence)
        break
      case 'table':
      case 'snapshot_resumed':
      case 'truncate':
        break
      default:
        entry satisfies never
    }
  }

  #reach(sequence: string | undefined): void {
    if (sequence === undefined) return
    const greatest = this.#greatestSequence
    if (greatest === undefined || isGreater(sequence, greatest)) this.#greatestSequence = sequence
  }
}

/** Of two whole numbers from 0 on in plain digits. */
function isGreater(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length
}

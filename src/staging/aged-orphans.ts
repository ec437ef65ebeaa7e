/**
 * Data files that no manifest names and that are older than what a purge has passed. A gateway that
 * began with a checkpoint left them alone, since it does not know all names; a purge is told all.
 */
import type { ObjectStorage } from '../storage/object-storage.ts'
import { changesFolder, type DataFileName, parseDataFilePath, snapshotsFolder } from './layout.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import type { Manifest } from './manifest.ts'
import { filesOf } from './orphans.ts'
import type { LogSink } from './read-log.ts'

/**
 * Told a log, it knows of all names that look as if they had been purged whether they were: hardly
 * any is still there, so it stays small however long the log is.
 */
export class AgedNames implements LogSink {
  #lastSequence = -1n
  /** Newest copy of each table that was purged. */
  readonly #copies = new Map<string, number>()
  readonly #named = new Set<string>()
  readonly #tableIds = new Set<string>()
  #epoch = 0

  constructor() {
    this.begin(emptyLogBase)
  }

  begin(base: LogBase): void {
    this.#lastSequence = BigInt(base.last_sequence ?? -1)
    this.#epoch = 0
    for (const known of [this.#copies, this.#named, this.#tableIds]) known.clear()
    for (const { table_id: id, entries } of base.tables) {
      this.#tableIds.add(id)
      const started = entries.find((entry) => entry.kind === 'snapshot_started')
      if (started !== undefined) this.#copies.set(id, started.snapshot_id)
    }
  }

  take(manifest: Manifest): void {
    this.#epoch = manifest.epoch
    for (const { table_id: id } of manifest.entries) this.#tableIds.add(id)
    for (const { path } of filesOf(manifest)) {
      const name = parseDataFilePath(path)
      if (name !== undefined && this.isAged(name)) this.#named.add(path)
    }
  }

  get tableIds(): Iterable<string> {
    return this.#tableIds
  }

  /** The purge has passed everything that such a file would have been named with. */
  isAged(name: DataFileName): boolean {
    return name.kind === 'changes'
      ? name.firstSequence <= this.#lastSequence
      : name.snapshotId <= (this.#copies.get(name.tableId) ?? -1)
  }

  /** Nobody names it, and its gateway is fenced out by the newest manifest that was told. */
  isOrphan(path: string, name: DataFileName): boolean {
    return this.isAged(name) && name.epoch < this.#epoch && !this.#named.has(path)
  }
}

/** Removes them and returns how many. `aged` was told the whole log. Throws STORAGE_*. */
export async function removeAgedOrphans(storage: ObjectStorage, aged: AgedNames): Promise<number> {
  let removed = 0
  for (const tableId of aged.tableIds) {
    for (const prefix of [changesFolder(tableId), snapshotsFolder(tableId)]) {
      for await (const { path } of storage.list(prefix)) {
        const name = parseDataFilePath(path)
        if (name === undefined) continue
        // Ascending: all that follow are younger.
        if (name.kind === 'changes' && !aged.isAged(name)) break
        if (!aged.isOrphan(path, name)) continue
        await storage.delete(path)
        removed++
      }
    }
  }
  return removed
}

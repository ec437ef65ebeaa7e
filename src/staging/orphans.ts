/** Data files that no manifest names: what a gateway had staged but not published when it ended. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { Checkpoint } from './checkpoint.ts'
import {
  changesAfter,
  type DataFileName,
  parseDataFilePath,
  type PathRange,
  snapshotFolder,
  tablesFolder,
} from './layout.ts'
import type { Manifest, StagedFile } from './manifest.ts'
import { mapConcurrent, readConcurrency } from './map-concurrent.ts'

/** All data files a manifest names. */
export function filesOf(manifest: Pick<Manifest, 'entries'>): StagedFile[] {
  return manifest.entries.flatMap((entry) => {
    if (entry.kind === 'changes') return [entry.file]
    if (entry.kind === 'schema_change') return entry.fill === undefined ? [] : [entry.fill]
    return entry.kind === 'snapshot_chunk' ? entry.files : []
  })
}

/** Of what a checkpoint stands for not every name is known: beyond this nothing of it can be. */
interface Horizon {
  /** -1: of none. */
  readonly greatestSequence: bigint
  /** All files of these copies were told: table id → snapshot ids. */
  readonly copies: Map<string, Set<number>>
}

/**
 * Paths of the data files that were told, as 53-bit digests: a volume may have millions. Two paths
 * with one digest make an orphan be left alone, never a named file be taken for one.
 */
export class NamedFiles {
  #digests = new Float64Array(1024)
  #count = 0
  #isSorted = true
  /** undefined: the log was told whole. */
  #horizon: Horizon | undefined

  begin(): void {
    this.#count = 0
    this.#isSorted = true
    this.#horizon = undefined
  }

  /** Instead of `begin`. */
  resume({ files }: Pick<Checkpoint, 'files'>): void {
    this.begin()
    const copies = new Map<string, Set<number>>()
    for (const { tableId, snapshotId, paths } of files.copies) {
      copies.set(tableId, new Set([snapshotId]))
      for (const path of paths) this.#add(digestOf(path))
    }
    this.#horizon = { greatestSequence: BigInt(files.greatestSequence ?? -1), copies }
  }

  take(manifest: Pick<Manifest, 'entries'>): void {
    for (const { path } of filesOf(manifest)) this.#add(digestOf(path))
    if (this.#horizon === undefined) return
    const { copies } = this.#horizon
    for (const entry of manifest.entries) {
      if (entry.kind !== 'snapshot_started') continue
      copies.set(entry.table_id, (copies.get(entry.table_id) ?? new Set()).add(entry.snapshot_id))
    }
  }

  /** Whether it is known of such a file that nothing names it when nothing that was told does. */
  judges(name: DataFileName): boolean {
    if (this.#horizon === undefined) return true
    const { greatestSequence, copies } = this.#horizon
    return name.kind === 'changes'
      ? name.firstSequence > greatestSequence
      : copies.get(name.tableId)?.has(name.snapshotId) === true
  }

  /** Where the files are that it judges, of tables that the log names. */
  ranges(tableIds: Iterable<string>): readonly PathRange[] {
    if (this.#horizon === undefined) return [{ prefix: tablesFolder }]
    const { greatestSequence, copies } = this.#horizon
    return [
      ...[...tableIds].map((tableId) => changesAfter(tableId, greatestSequence)),
      ...[...copies].flatMap(([tableId, ids]) =>
        [...ids].map((id) => ({ prefix: snapshotFolder(tableId, id) })),
      ),
    ]
  }

  has(path: string): boolean {
    if (!this.#isSorted) this.#digests.subarray(0, this.#count).sort()
    this.#isSorted = true
    const wanted = digestOf(path)
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#digests[middle] ?? 0) < wanted) low = middle + 1
      else high = middle
    }
    return low < this.#count && this.#digests[low] === wanted
  }

  #add(digest: number): void {
    if (this.#count === this.#digests.length) {
      const larger = new Float64Array(this.#count * 2)
      larger.set(this.#digests)
      this.#digests = larger
    }
    this.#digests[this.#count++] = digest
    this.#isSorted = false
  }
}

/** Two 32-bit hashes with multipliers of their own, of which 53 bits fit an exact number. */
function digestOf(path: string): number {
  let high = 0x811c9dc5
  let low = 0x9747b28c
  for (let at = 0; at < path.length; at++) {
    const unit = path.charCodeAt(at)
    high = Math.imul(high ^ unit, 0x01000193)
    low = Math.imul(low ^ unit, 0x5bd1e995)
    low ^= low >>> 15
  }
  high ^= high >>> 16
  return ((high >>> 0) & 0x1fffff) * 2 ** 32 + (low >>> 0)
}

export interface OrphanOptions {
  readonly storage: ObjectStorage
  /** Of the log up to and including the manifest that took the volume over with `epoch`. */
  readonly named: NamedFiles
  readonly epoch: number
  /** All that the log names. */
  readonly tableIds: Iterable<string>
}

/**
 * Removes them and returns how many. Only files of smaller epochs: those gateways are fenced out,
 * so nothing they wrote can become visible any more; a greater epoch's files are not ours to judge.
 * After a checkpoint also no file that something before it may name: the purge comes to those.
 */
export async function removeOrphans(options: OrphanOptions): Promise<number> {
  const { storage, named, epoch, tableIds } = options
  const orphans: string[] = []
  for (const { prefix, startAfter } of named.ranges(tableIds)) {
    for await (const { path } of storage.list(prefix, startAfter)) {
      const name = parseDataFilePath(path)
      if (name === undefined || name.epoch >= epoch || !named.judges(name)) continue
      if (!named.has(path)) orphans.push(path)
    }
  }
  await mapConcurrent(orphans.length, readConcurrency, (n) => storage.delete(orphans[n] ?? ''))
  return orphans.length
}

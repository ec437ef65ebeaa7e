/** Data files that no manifest names: what a gateway had staged but not published when it ended. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import { parseDataFilePath, tablesFolder } from './layout.ts'
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

/**
 * Paths of the data files that were told, as 53-bit digests: a volume may have millions. Two paths
 * with one digest make an orphan be left alone, never a named file be taken for one.
 */
export class NamedFiles {
  #digests = new Float64Array(1024)
  #count = 0
  #isSorted = true

  begin(): void {
    this.#count = 0
  }

  take(manifest: Pick<Manifest, 'entries'>): void {
    for (const { path } of filesOf(manifest)) this.#add(digestOf(path))
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
  /** Of the whole log, up to and including the manifest that took the volume over with `epoch`. */
  readonly named: NamedFiles
  readonly epoch: number
}

/**
 * Removes them and returns how many. Only files of smaller epochs: those gateways are fenced out,
 * so nothing they wrote can become visible any more; a greater epoch's files are not ours to judge.
 */
export async function removeOrphans(options: OrphanOptions): Promise<number> {
  const { storage, named, epoch } = options
  const orphans: string[] = []
  for await (const { path } of storage.list(tablesFolder)) {
    const name = parseDataFilePath(path)
    if (name !== undefined && name.epoch < epoch && !named.has(path)) orphans.push(path)
  }
  await mapConcurrent(orphans.length, readConcurrency, (n) => storage.delete(orphans[n] ?? ''))
  return orphans.length
}

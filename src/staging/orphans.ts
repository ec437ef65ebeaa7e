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

export interface OrphanOptions {
  readonly storage: ObjectStorage
  /** The whole log, up to and including the manifest that took the volume over with `epoch`. */
  readonly manifests: readonly Manifest[]
  readonly epoch: number
}

/**
 * Removes them and returns how many. Only files of smaller epochs: those gateways are fenced out,
 * so nothing they wrote can become visible any more; a greater epoch's files are not ours to judge.
 */
export async function removeOrphans(options: OrphanOptions): Promise<number> {
  const { storage, manifests, epoch } = options
  const named = new Set<string>()
  for (const manifest of manifests) for (const file of filesOf(manifest)) named.add(file.path)
  const orphans: string[] = []
  for await (const { path } of storage.list(tablesFolder)) {
    const name = parseDataFilePath(path)
    if (name !== undefined && name.epoch < epoch && !named.has(path)) orphans.push(path)
  }
  await mapConcurrent(orphans.length, readConcurrency, (n) => storage.delete(orphans[n] ?? ''))
  return orphans.length
}

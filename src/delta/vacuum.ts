/**
 * Removes data files and deletion vectors that no version within the retention needs: those of
 * removed rows, and what killed or failed writers left. What can not be told to be dead stays.
 */
import { hasCode } from '../base/errors.ts'
import { noFailpoints, type Failpoints } from '../base/failpoint.ts'
import type { AddFile, RemoveFile } from './actions.ts'
import { storagePathOf } from './data-path.ts'
import { relativeVectorPath } from './deletion-vector.ts'
import type { DeltaSnapshot, DeltaTable } from './delta-table.ts'
import { deletedFileRetentionMs } from './table-properties.ts'

/**
 * However short the table's retention is: files of a writer that is at work are younger, and no
 * log names them yet.
 */
const minimumAgeMs = 24 * 60 * 60 * 1000

export interface VacuumOptions {
  readonly table: DeltaTable
  readonly nowMs: number
  readonly failpoints?: Failpoints
  /** Ends it early. */
  readonly signal?: AbortSignal
}

export interface VacuumResult {
  readonly removedFiles: number
  readonly removedBytes: number
}

/**
 * Only what is older than `delta.deletedFileRetentionDuration` (7 days unless set) goes. May run
 * beside writers: what counts is when a file came into the table's folder, so a data file linked from
 * an old staged one is as young as its link.
 * A stop anywhere is finished by the next call. Throws DELTA_* and STORAGE_*.
 */
export async function vacuum(options: VacuumOptions): Promise<VacuumResult> {
  const { table, nowMs, failpoints = noFailpoints, signal } = options
  const { storage, root } = table
  let removedFiles = 0
  let removedBytes = 0
  const snapshot = await table.snapshot()
  if (snapshot === undefined) return { removedFiles, removedBytes }
  const retentionMs = Math.max(minimumAgeMs, deletedFileRetentionMs(snapshot.metadata))
  const named = namedPaths(table, snapshot, nowMs - retentionMs)
  const prefix = root === '' ? '' : `${root}/`
  const dead: { readonly path: string; readonly sizeBytes: number }[] = []
  for await (const { path, sizeBytes, arrivedAtMs } of storage.list(prefix)) {
    if (signal?.aborted === true) break
    if (!isDataName(path.slice(prefix.length)) || named.has(path)) continue
    if (arrivedAtMs < nowMs - retentionMs) dead.push({ path, sizeBytes })
  }
  for (const { path, sizeBytes } of dead) {
    if (signal?.aborted === true) break
    await storage.delete(path)
    removedFiles++
    removedBytes += sizeBytes
    failpoints.hit('delta.vacuum-file-removed')
  }
  return { removedFiles, removedBytes }
}

/** Names that writers of Delta tables give; hidden folders and files are nobody's business here. */
function isDataName(path: string): boolean {
  if (path.split('/').some((part) => part.startsWith('_') || part.startsWith('.'))) return false
  return path.endsWith('.parquet') || /(^|\/)deletion_vector_[^/]*\.bin$/.test(path)
}

/** Every file that the latest version, or one that was the latest at `sinceMs` or later, needs. */
function namedPaths(
  table: DeltaTable,
  snapshot: DeltaSnapshot,
  sinceMs: number,
): ReadonlySet<string> {
  const named = new Set<string>()
  const add = (pathOf: () => string): void => {
    try {
      named.add(pathOf())
    } catch (error) {
      // It lies elsewhere: not among what is listed here.
      if (!hasCode(error, 'DELTA_PATH_OUTSIDE_STORAGE')) throw error
    }
  }
  const files: readonly (AddFile | RemoveFile)[] = [
    ...snapshot.files.values(),
    ...[...snapshot.tombstones.values()].filter(
      ({ deletionTimestamp }) => (deletionTimestamp ?? 0) >= sinceMs,
    ),
  ]
  for (const { path, deletionVector } of files) {
    add(() => storagePathOf(table, path))
    if (deletionVector === undefined || deletionVector.storageType === 'i') continue
    add(() =>
      deletionVector.storageType === 'u'
        ? [table.root, relativeVectorPath(deletionVector)].filter((part) => part !== '').join('/')
        : storagePathOf(table, deletionVector.pathOrInlineDv),
    )
  }
  return named
}

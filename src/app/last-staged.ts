/** What the staging log last holds of one table: how far behind a destination is, and how old. */
import type { CommitNumber, StoredManifest } from '../staging/manifest.ts'
import { isWork, type LastStaged, workOf, type WorkManifest } from '../staging/newest-work.ts'
import { tellStored } from '../staging/read-log.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

/** Commits that are looked at together on the way back. */
const pieceCommits = 64

/**
 * As `lastStaged`, from the log itself: what a destination has is near its last work. `first` is where
 * the log begins. Throws STAGING_MANIFEST_UNREADABLE, and STAGING_LOG_GAP when a purge is at work.
 */
export async function lastStagedBefore(
  storage: ObjectStorage,
  { tableId, upTo, first }: { tableId: string; upTo: CommitNumber; first: CommitNumber },
): Promise<LastStaged | undefined> {
  for (let end = upTo + 1; end > first; end -= pieceCommits) {
    const piece: StoredManifest[] = []
    const from = Math.max(first, end - pieceCommits)
    await tellStored(storage, { from, end }, (manifest) => piece.push(manifest))
    const found = lastStaged(piece, tableId)
    if (found !== undefined) return found
  }
  return undefined
}

/** `manifests` ascending. Looks at no commit after `upTo`; undefined when none holds anything. */
export function lastStaged(
  manifests: readonly WorkManifest[],
  tableId: string,
  upTo = Number.POSITIVE_INFINITY,
): LastStaged | undefined {
  const found = manifests.findLast(
    ({ commit, entries }) =>
      commit <= upTo && entries.some((entry) => entry.table_id === tableId && isWork(entry)),
  )
  return found && workOf(found)
}

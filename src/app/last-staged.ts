/** What the staging log last holds of one table: how far behind a destination is, and how old. */
import type { CommitNumber, Manifest, ManifestEntry, StoredManifest } from '../staging/manifest.ts'
import { type LogSink, tellStored } from '../staging/read-log.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

export interface LastStaged {
  readonly commit: CommitNumber
  /** Source commit time of its newest transaction, ms; undefined when it holds none. */
  readonly atMs: number | undefined
}

type WorkManifest = Pick<StoredManifest, 'commit' | 'entries' | 'max_commit_time_us'>

/** The newest work of every table. */
export class NewestWork implements LogSink {
  readonly #tables = new Map<string, LastStaged>()
  #newest: CommitNumber | undefined

  begin(): void {
    this.#tables.clear()
    this.#newest = undefined
  }

  take(manifest: Manifest): void {
    this.#newest = manifest.commit
    for (const entry of manifest.entries) {
      if (isWork(entry)) this.#tables.set(entry.table_id, workOf(manifest))
    }
  }

  /** Number of the newest staged commit. */
  get newest(): CommitNumber | undefined {
    return this.#newest
  }

  of(tableId: string): LastStaged | undefined {
    return this.#tables.get(tableId)
  }
}

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

function workOf({ commit, max_commit_time_us: time }: WorkManifest): LastStaged {
  return { commit, atMs: time === undefined ? undefined : Number(BigInt(time) / 1000n) }
}

/** A copy that is not finished, and a name, give a pipeline nothing to do. */
function isWork({ kind }: ManifestEntry): boolean {
  return kind === 'changes' || kind === 'truncate' || kind === 'snapshot_finished'
}

/** What the staging log last holds of one table: how far behind a destination is, and how old. */
import type { CommitNumber, Manifest, ManifestEntry } from '../staging/manifest.ts'

export interface LastStaged {
  readonly commit: CommitNumber
  /** Source commit time of its newest transaction, ms; undefined when it holds none. */
  readonly atMs: number | undefined
}

/** `manifests` ascending. Looks at no commit after `upTo`; undefined when none holds anything. */
export function lastStaged(
  manifests: readonly Manifest[],
  tableId: string,
  upTo = Number.POSITIVE_INFINITY,
): LastStaged | undefined {
  const found = manifests.findLast(
    ({ commit, entries }) =>
      commit <= upTo && entries.some((entry) => entry.table_id === tableId && isWork(entry)),
  )
  if (found === undefined) return undefined
  const { commit, max_commit_time_us: time } = found
  return { commit, atMs: time === undefined ? undefined : Number(BigInt(time) / 1000n) }
}

/** A copy that is not finished, and a name, give a pipeline nothing to do. */
function isWork({ kind }: ManifestEntry): boolean {
  return kind === 'changes' || kind === 'truncate' || kind === 'snapshot_finished'
}

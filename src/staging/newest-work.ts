/** When the staging log last held something to do for each table. */
import type { CommitNumber, Manifest, ManifestEntry, StoredManifest } from './manifest.ts'
import type { LogSink } from './read-log.ts'

export interface LastStaged {
  readonly commit: CommitNumber
  /** Source commit time of its newest transaction, ms; undefined when it holds none. */
  readonly atMs: number | undefined
}

export type WorkManifest = Pick<StoredManifest, 'commit' | 'entries' | 'max_commit_time_us'>

/** Per table. */
export type NewestWorkState = readonly (LastStaged & { readonly tableId: string })[]

/** The newest work of every table. */
export class NewestWork implements LogSink {
  readonly #tables = new Map<string, LastStaged>()
  #newest: CommitNumber | undefined

  begin(): void {
    this.#tables.clear()
    this.#newest = undefined
  }

  /** Instead of `begin`: as if all up to `commit` had been told. */
  restore(tables: NewestWorkState, commit: CommitNumber): void {
    this.begin()
    for (const { tableId, ...work } of tables) this.#tables.set(tableId, work)
    this.#newest = commit
  }

  /** What `restore` goes on from. */
  state(): NewestWorkState {
    return [...this.#tables].map(([tableId, work]) => ({ tableId, ...work }))
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

export function workOf({ commit, max_commit_time_us: time }: WorkManifest): LastStaged {
  return { commit, atMs: time === undefined ? undefined : Number(BigInt(time) / 1000n) }
}

/** A copy that is not finished, and a name, give a pipeline nothing to do. */
export function isWork({ kind }: ManifestEntry): boolean {
  return kind === 'changes' || kind === 'truncate' || kind === 'snapshot_finished'
}

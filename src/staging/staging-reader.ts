/** The pipeline's view of a staging volume: manifests in order, schemas, files. Read only. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import type { CommitNumber, Manifest } from './manifest.ts'
import { assertLogEndsAt, readLog, readLogBase, readNewManifests } from './read-log.ts'
import { readSchemaFile } from './schema-files.ts'

export interface StagingReader {
  readonly storage: ObjectStorage
  /**
   * All manifests present, ascending and dense; remembers what it has read and only fetches the
   * new. Throws STAGING_LOG_GAP and STAGING_MANIFEST_UNREADABLE.
   */
  refresh(): Promise<readonly Manifest[]>
  readSchema(tableId: string, schemaVersion: number): Promise<TableSchema>
  /** Number of the first manifest that is still there (older ones were purged). */
  firstCommit(): CommitNumber
  /** What the purge left of older manifests, as of the last `refresh`. See `lostToPurge`. */
  base(): LogBase
}

/** Refreshes that find nothing between two looks for a hole that hides what is new. */
const quietPerCheck = 1024

/** Reads a volume without taking it over. Nothing is read before the first `refresh`. */
export function createStagingReader(options: { readonly storage: ObjectStorage }): StagingReader {
  const { storage } = options
  let base = emptyLogBase
  let manifests: readonly Manifest[] = []
  let quiet = 0
  let running: Promise<readonly Manifest[]> | undefined
  const fetch = async (): Promise<readonly Manifest[]> => {
    const last = manifests.at(-1)
    const newBase = await readLogBase(storage)
    if (last === undefined || last.commit < newBase.first) {
      ;({ base, manifests } = await readLog(storage))
      return manifests
    }
    const added = await readNewManifests(storage, last.commit + 1, last.incarnation).catch(
      async (error: unknown) => {
        // Not a hole when a purge has meanwhile gone past what we know.
        if ((await readLogBase(storage)).first > last.commit) return undefined
        throw error
      },
    )
    if (added === undefined) return fetch()
    if (added.length === 0 && ++quiet % quietPerCheck === 0) {
      await assertLogEndsAt(storage, last.commit + 1)
    }
    const purged = newBase.first - base.first
    // A new array only when something changed: callers may compare.
    if (added.length > 0 || purged > 0) manifests = [...manifests.slice(purged), ...added]
    base = newBase
    return manifests
  }
  return {
    storage,
    refresh() {
      running ??= fetch().finally(() => {
        running = undefined
      })
      return running
    },
    readSchema: (tableId, schemaVersion) => readSchemaFile(storage, tableId, schemaVersion),
    firstCommit: () => base.first,
    base: () => base,
  }
}

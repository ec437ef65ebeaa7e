/** The pipeline's view of a staging volume: manifests in order, schemas, files. Read only. */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { TableSchema } from '../source/table-schema.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import { manifestPath } from './layout.ts'
import type { CommitNumber, Manifest, StoredManifest } from './manifest.ts'
import {
  assertLogEndsAt,
  type LogSink,
  readLogBase,
  readNewManifests,
  tellLog,
  tellStored,
} from './read-log.ts'
import { readSchemaFile } from './schema-files.ts'
import { sealOf } from './sealed-json.ts'

/** Told by one reader to one sink; what was told is not kept here. */
export interface StagingReader {
  readonly storage: ObjectStorage
  /**
   * Tells `sink` the manifests that it was not told yet, ascending and dense: all of them the first
   * time, and again from the beginning when a purge went past what it knows. The sink is always the
   * same one. Throws STAGING_LOG_GAP and STAGING_MANIFEST_UNREADABLE.
   */
  refresh(sink: LogSink): Promise<void>
  /** Tells the manifest from any other of its number; undefined when it is not there any more. */
  sealOf(commit: CommitNumber): Promise<number | undefined>
  /** Commits in [from, end) once more, as their files have them. Throws as `refresh`. */
  again(
    range: { readonly from: CommitNumber; readonly end: CommitNumber },
    take: (manifest: StoredManifest) => void,
  ): Promise<void>
  readSchema(tableId: string, schemaVersion: number): Promise<TableSchema>
  /** What the purge left of older manifests, as of the last `refresh`. See `lostToPurge`. */
  base(): LogBase
  /** The same as of now. */
  currentBase(): Promise<LogBase>
}

/** Refreshes that find nothing between two looks for a hole that hides what is new. */
const quietPerCheck = 1024

/** Reads a volume without taking it over. Nothing is read before the first `refresh`. */
export function createStagingReader(options: { readonly storage: ObjectStorage }): StagingReader {
  const { storage } = options
  let base = emptyLogBase
  let last: Pick<Manifest, 'commit' | 'incarnation'> | undefined
  let quiet = 0
  let running: Promise<void> | undefined
  const fetch = async (sink: LogSink): Promise<void> => {
    const newBase = await readLogBase(storage)
    if (last === undefined || last.commit < newBase.first) {
      last = undefined
      ;({ base, last } = await tellLog(storage, sink))
      return
    }
    const { commit, incarnation } = last
    const added = await readNewManifests(storage, commit + 1, incarnation).catch(
      async (error: unknown) => {
        // Not a hole when a purge has meanwhile gone past what we know.
        if ((await readLogBase(storage)).first > commit) return undefined
        throw error
      },
    )
    if (added === undefined) return fetch(sink)
    if (added.length === 0 && ++quiet % quietPerCheck === 0) {
      await assertLogEndsAt(storage, commit + 1)
    }
    base = newBase
    for (const manifest of added) {
      last = manifest
      sink.take(manifest)
    }
  }
  return {
    storage,
    refresh(sink) {
      running ??= fetch(sink).finally(() => {
        running = undefined
      })
      return running
    },
    sealOf: async (commit) => {
      const bytes = await storage.read(manifestPath(commit))
      return bytes === undefined ? undefined : sealOf(bytes)
    },
    again: (range, take) => tellStored(storage, range, take),
    readSchema: (tableId, schemaVersion) => readSchemaFile(storage, tableId, schemaVersion),
    base: () => base,
    currentBase: () => readLogBase(storage),
  }
}

/** A staging log in memory, which only tests have short enough. */
import type { LogBase } from '../../src/staging/log-base.ts'
import type { Manifest } from '../../src/staging/manifest.ts'
import { tellLog } from '../../src/staging/read-log.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'

export interface LogContent {
  readonly base: LogBase
  /** From `base.first`, ascending and dense; empty only in a volume that never was written to. */
  readonly manifests: readonly Manifest[]
}

/** Throws as `tellLog`. */
export async function readLog(storage: ObjectStorage): Promise<LogContent> {
  let manifests: Manifest[] = []
  const begin = (): void => {
    manifests = []
  }
  const { base } = await tellLog(storage, { begin, take: (manifest) => manifests.push(manifest) })
  return { base, manifests }
}

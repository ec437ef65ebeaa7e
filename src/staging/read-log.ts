/** Reads the manifests of a volume and proves that none is missing. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { logBasePath, logFolder, manifestPath, parseManifestPath } from './layout.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import { decodeLogBase, decodeManifest } from './manifest-codec.ts'
import type { CommitNumber, Manifest } from './manifest.ts'
import { mapConcurrent, readConcurrency } from './map-concurrent.ts'

export interface LogContent {
  readonly base: LogBase
  /** From `base.first`, ascending and dense; empty only in a volume that never was written to. */
  readonly manifests: readonly Manifest[]
}

/** undefined when there is no such manifest. Throws STAGING_MANIFEST_UNREADABLE. */
export async function readManifest(
  storage: ObjectStorage,
  commit: CommitNumber,
): Promise<Manifest | undefined> {
  const bytes = await storage.read(manifestPath(commit))
  return bytes === undefined ? undefined : decodeManifest(bytes, commit, storage.url)
}

/** Throws STAGING_MANIFEST_UNREADABLE. */
export async function readLogBase(storage: ObjectStorage): Promise<LogBase> {
  const bytes = await storage.read(logBasePath)
  return bytes === undefined ? emptyLogBase : decodeLogBase(bytes, storage.url)
}

/** The whole log. A purge or a gateway may be at work meanwhile. Throws STAGING_LOG_GAP. */
export async function readLog(storage: ObjectStorage): Promise<LogContent> {
  for (;;) {
    const base = await readLogBase(storage)
    try {
      return { base, manifests: await readWholeLog(storage, base.first) }
    } catch (error) {
      // Not a hole when a purge has moved the front since: then there is a newer base to go by.
      if ((await readLogBase(storage)).first === base.first) throw error
    }
  }
}

/**
 * Manifests from `from` on; `before` is the one before them, if known. Costs one or two look-ups when there are none: for frequent calls. A
 * hole of more than one manifest is not noticed here but by `assertLogEndsAt`.
 */
export async function readNewManifests(
  storage: ObjectStorage,
  from: CommitNumber,
  before?: Manifest,
): Promise<Manifest[]> {
  const share = sharingIncarnation(before)
  const manifests: Manifest[] = []
  let width = 1
  for (;;) {
    const start = from + manifests.length
    const piece = await mapConcurrent(width, readConcurrency, (n) =>
      readManifest(storage, start + n),
    )
    for (const manifest of piece) {
      if (manifest === undefined) break
      manifests.push(share(manifest))
    }
    const end = from + manifests.length
    if (end < start + width) {
      const isAhead = await storage.stat(manifestPath(end + 1))
      if (isAhead === undefined) return manifests
      // It was published after we looked, or it is a hole.
      const late = await readManifest(storage, end)
      if (late === undefined) throw holeError(storage, end)
      manifests.push(share(late))
    }
    width = Math.min(readConcurrency, width * 4)
  }
}

/**
 * Throws STAGING_LOG_GAP when anything lies beyond `end`, the first number not read, though `end`
 * itself is missing. Lists the log: for now and then.
 */
export async function assertLogEndsAt(storage: ObjectStorage, end: CommitNumber): Promise<void> {
  for await (const { path } of storage.list(logFolder, manifestPath(end))) {
    if (parseManifestPath(path) === undefined) continue
    // Unless it was published while we listed.
    if ((await storage.stat(manifestPath(end))) === undefined) throw holeError(storage, end)
    return
  }
}

async function readWholeLog(storage: ObjectStorage, first: CommitNumber): Promise<Manifest[]> {
  const end = await findEnd(storage, first)
  if (end === first && first > 0) throw holeError(storage, first)
  const share = sharingIncarnation()
  const manifests = await mapConcurrent(end - first, readConcurrency, async (n) => {
    const manifest = await readManifest(storage, first + n)
    return manifest === undefined
      ? await Promise.reject(holeError(storage, first + n))
      : share(manifest)
  })
  return [...manifests, ...(await readNewManifests(storage, end, manifests.at(-1)))]
}

/**
 * Nearly all manifests name the same incarnation, and with many tables it is a long text: those in
 * memory share one.
 */
function sharingIncarnation(before?: Manifest): (manifest: Manifest) => Manifest {
  let known = before?.incarnation
  return (manifest) => {
    if (manifest.incarnation === known) return { ...manifest, incarnation: known }
    known = manifest.incarnation
    return manifest
  }
}

/**
 * One more than the greatest commit number present. Listing is what finds everything whatever is
 * missing, but costs a look at every object; so a search gives the place from which to list.
 */
async function findEnd(storage: ObjectStorage, first: CommitNumber): Promise<CommitNumber> {
  const exists = async (commit: CommitNumber): Promise<boolean> =>
    (await storage.stat(manifestPath(commit))) !== undefined
  let end = first
  let step = 1
  for (; await exists(end + step - 1); step *= 2) end += step
  for (; step >= 1; step /= 2) if (await exists(end + step - 1)) end += step
  const startAfter = end === 0 ? undefined : manifestPath(end - 1)
  for await (const info of storage.list(logFolder, startAfter)) {
    end = Math.max(end, (parseManifestPath(info.path) ?? -1) + 1)
  }
  return end
}

function holeError(storage: ObjectStorage, commit: CommitNumber): SluiceError {
  const text = `the staging log misses ${storage.url}/${manifestPath(commit)}`
  return new SluiceError('STAGING_LOG_GAP', text)
}

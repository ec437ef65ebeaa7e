/** Reads the manifests of a volume and proves that none is missing. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { logBasePath, logFolder, manifestPath, parseManifestPath } from './layout.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import { decodeLogBase, decodeManifest } from './manifest-codec.ts'
import type { CommitNumber, Manifest, StoredManifest } from './manifest.ts'
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
): Promise<StoredManifest | undefined> {
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
      return { base, manifests: await readWholeLog(storage, base) }
    } catch (error) {
      // Not a hole when a purge has moved the front since: then there is a newer base to go by.
      if ((await readLogBase(storage)).first === base.first) throw error
    }
  }
}

/**
 * Manifests from `from` on; `incarnation` is that of the one before them. Costs one or two look-ups when there are none: for frequent calls. A
 * hole of more than one manifest is not noticed here but by `assertLogEndsAt`.
 */
export async function readNewManifests(
  storage: ObjectStorage,
  from: CommitNumber,
  incarnation: string,
): Promise<Manifest[]> {
  const complete = completing(incarnation)
  const manifests: Manifest[] = []
  let width = 1
  for (;;) {
    const start = from + manifests.length
    const piece = await mapConcurrent(width, readConcurrency, (n) =>
      readManifest(storage, start + n),
    )
    for (const manifest of piece) {
      if (manifest === undefined) break
      manifests.push(complete(manifest))
    }
    const end = from + manifests.length
    if (end < start + width) {
      const isAhead = await storage.stat(manifestPath(end + 1))
      if (isAhead === undefined) return manifests
      // It was published after we looked, or it is a hole.
      const late = await readManifest(storage, end)
      if (late === undefined) throw holeError(storage, end)
      manifests.push(complete(late))
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

async function readWholeLog(
  storage: ObjectStorage,
  { first, incarnation = '' }: LogBase,
): Promise<Manifest[]> {
  const end = await findEnd(storage, first)
  if (end === first && first > 0) throw holeError(storage, first)
  const share = sharing(incarnation)
  const stored = await mapConcurrent(end - first, readConcurrency, async (n) => {
    const manifest = await readManifest(storage, first + n)
    return manifest === undefined
      ? await Promise.reject(holeError(storage, first + n))
      : share(manifest)
  })
  const manifests = stored.map(completing(incarnation))
  const last = manifests.at(-1)?.incarnation ?? incarnation
  return [...manifests, ...(await readNewManifests(storage, end, last))]
}

/** Earlier versions wrote the incarnation into every manifest: those in memory share one. */
function sharing(known: string): (manifest: StoredManifest) => StoredManifest {
  return (manifest) => {
    if (manifest.incarnation === undefined) return manifest
    if (manifest.incarnation === known) return { ...manifest, incarnation: known }
    known = manifest.incarnation
    return manifest
  }
}

/** For manifests in their order: each has what its file leaves out. */
function completing(before: string): (manifest: StoredManifest) => Manifest {
  const share = sharing(before)
  let last = before
  return (manifest) => {
    last = share(manifest).incarnation ?? last
    return { ...manifest, incarnation: last }
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

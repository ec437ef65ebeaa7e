/** Reads the manifests of a volume, in bounded memory, and proves that none is missing. */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { type Checkpoint, type FittingCheckpoint, readCheckpoint } from './checkpoint.ts'
import { logBasePath, logFolder, manifestPath, parseManifestPath } from './layout.ts'
import { emptyLogBase, type LogBase } from './log-base.ts'
import { decodeLogBase, decodeManifest } from './manifest-codec.ts'
import type { CommitNumber, Manifest, StoredManifest } from './manifest.ts'
import { mapConcurrent, readConcurrency } from './map-concurrent.ts'

/** Who is told a log manifest by manifest, so that nobody has to hold it whole. */
export interface LogSink {
  /** A log is told from its beginning: what was told before does not count. */
  begin(base: LogBase): void
  /**
   * Instead of `begin`, of a log whose beginning is in a checkpoint: what is told goes on after that.
   * A sink without it is told the log whole.
   */
  resume?(checkpoint: Checkpoint, base: LogBase): void
  /** Ascending and dense from `base.first`, or after the checkpoint. */
  take(manifest: Manifest): void
}

/** The place in the log up to which somebody was told. */
export interface LogEnd {
  readonly base: LogBase
  /** undefined in a volume that never was written to. */
  readonly last: Manifest | undefined
}

/** How many manifests are in memory at once. */
const pieceCommits = 1024

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

/**
 * Tells the log, whole or after a checkpoint; from its beginning again when a purge overtakes it. A
 * gateway may be at work meanwhile. What is missing or damaged in the part that the checkpoint stands
 * for is not noticed. Throws STAGING_LOG_GAP and STAGING_MANIFEST_UNREADABLE.
 */
export async function tellLog(storage: ObjectStorage, sink: LogSink): Promise<LogEnd> {
  for (;;) {
    const base = await readLogBase(storage)
    try {
      const fitting = sink.resume && (await readCheckpoint(storage, base))
      if (fitting !== undefined)
        return { base, last: await tellRest(storage, base, { fitting, sink }) }
      sink.begin(base)
      return { base, last: await tellWhole(storage, base, sink) }
    } catch (error) {
      // Not a hole when a purge has moved the front since: then there is a newer base to go by.
      if ((await readLogBase(storage)).first === base.first) throw error
    }
  }
}

/** The manifests of commits in [from, end) as their files have them. Throws as `tellLog`. */
export async function tellStored(
  storage: ObjectStorage,
  range: { readonly from: CommitNumber; readonly end: CommitNumber },
  take: (manifest: StoredManifest) => void,
): Promise<void> {
  for (let start = range.from; start < range.end; start += pieceCommits) {
    const count = Math.min(pieceCommits, range.end - start)
    const piece = await mapConcurrent(count, readConcurrency, async (n) => {
      const manifest = await readManifest(storage, start + n)
      return manifest ?? (await Promise.reject(holeError(storage, start + n)))
    })
    for (const manifest of piece) take(manifest)
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

/** Number of the newest manifest; -1 when there is none. */
export async function newestCommit(storage: ObjectStorage): Promise<CommitNumber> {
  const { first } = await readLogBase(storage)
  return (await findEnd(storage, first)) - 1
}

/** Those that still count. Throws as `tellLog`. */
export async function manifestsAfter(
  storage: ObjectStorage,
  commit: CommitNumber,
): Promise<readonly Pick<Manifest, 'commit' | 'entries'>[]> {
  const { first } = await readLogBase(storage)
  return await readNewManifests(storage, Math.max(first, commit + 1), '')
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

async function tellRest(
  storage: ObjectStorage,
  base: LogBase,
  { fitting, sink }: { readonly fitting: FittingCheckpoint; readonly sink: LogSink },
): Promise<Manifest> {
  const { checkpoint, last } = fitting
  sink.resume?.(checkpoint, base)
  const { commit, incarnation } = checkpoint
  const from = commit + 1
  const end = await findEnd(storage, from)
  return (await tellBetween(storage, { from, end, incarnation }, sink)) ?? last
}

async function tellWhole(
  storage: ObjectStorage,
  { first, incarnation = '' }: LogBase,
  sink: LogSink,
): Promise<Manifest | undefined> {
  const end = await findEnd(storage, first)
  if (end === first && first > 0) throw holeError(storage, first)
  return await tellBetween(storage, { from: first, end, incarnation }, sink)
}

/** Also what is published meanwhile; `incarnation` is that of the manifest before. */
async function tellBetween(
  storage: ObjectStorage,
  range: { readonly from: CommitNumber; readonly end: CommitNumber; readonly incarnation: string },
  sink: LogSink,
): Promise<Manifest | undefined> {
  const { end, incarnation } = range
  const complete = completing(incarnation)
  let last: Manifest | undefined
  const tell = (manifest: Manifest): void => {
    last = manifest
    sink.take(manifest)
  }
  await tellStored(storage, range, (stored) => tell(complete(stored)))
  const before = last as Manifest | undefined
  const newer = await readNewManifests(storage, end, before?.incarnation ?? incarnation)
  for (const manifest of newer) tell(manifest)
  return last
}

/** For manifests in their order: each has what its file leaves out; those in memory share one text. */
function completing(before: string): (manifest: StoredManifest) => Manifest {
  let last = before
  return (manifest) => {
    if (manifest.incarnation !== undefined && manifest.incarnation !== last) {
      last = manifest.incarnation
    }
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

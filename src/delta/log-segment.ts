/**
 * What has to be read to know a table at a version: the newest usable checkpoint and the commits
 * after it. Pure: from a listing.
 *
 * Invariants of a segment:
 * - `commits` are dense and ascending; the first is `checkpoint.version + 1`, or 0 without one;
 * - `version` is the last commit's version, or the checkpoint's when there is none after it;
 * - a multi-part checkpoint is used only when every part is there.
 */
import { SluiceError } from '../base/errors.ts'
import type { DeltaVersion } from './delta-table.ts'
import { deltaVersion, type LogFile } from './log-path.ts'

export interface CheckpointFiles {
  readonly version: DeltaVersion
  /** All parts, in order. */
  readonly paths: readonly string[]
}

export interface CommitFile {
  readonly version: DeltaVersion
  readonly path: string
}

export interface LogSegment {
  readonly version: DeltaVersion
  readonly checkpoint: CheckpointFiles | undefined
  readonly commits: readonly CommitFile[]
}

/**
 * The segment for `target`, or for the newest version; undefined when the listing holds no log.
 * `root`, the table's folder, is for messages. Throws DELTA_LOG_GAP and DELTA_VERSION_MISSING.
 */
export function buildLogSegment(
  files: readonly LogFile[],
  root: string,
  target?: DeltaVersion,
): LogSegment | undefined {
  const commits = files
    .filter((file) => file.kind === 'commit')
    .toSorted((left, right) => (left.version < right.version ? -1 : 1))
  const last = commits.at(-1)?.version
  const checkpoint = newestCheckpoint(files, target)
  if (last === undefined && checkpoint === undefined) return missingTarget(files, root, target)
  const newest = last === undefined || (checkpoint && checkpoint.version > last) ? undefined : last
  const version = target ?? newest ?? checkpoint?.version ?? deltaVersion(0)
  if (version !== checkpoint?.version && !commits.some((commit) => commit.version === version)) {
    const isPast = last !== undefined && last > version
    throw missing(root, version, isPast ? 'it was cleaned up' : `the newest is ${last}`)
  }
  const first = checkpoint === undefined ? 0n : checkpoint.version + 1n
  const wanted = commits.filter((file) => file.version >= first && file.version <= version)
  let expected = first
  for (const commit of wanted) {
    if (commit.version !== expected) throw gap(root, expected, commit.version)
    expected++
  }
  return {
    version,
    checkpoint,
    commits: wanted.map(({ path, version: at }) => ({ path, version: at })),
  }
}

function newestCheckpoint(
  files: readonly LogFile[],
  target: DeltaVersion | undefined,
): CheckpointFiles | undefined {
  let newest: CheckpointFiles | undefined
  const parts = new Map<string, string[]>()
  for (const file of files) {
    if (file.kind === 'commit' || (target !== undefined && file.version > target)) continue
    let paths: readonly string[] | undefined = [file.path]
    if (file.kind === 'checkpoint-part') {
      const key = `${file.version}/${file.parts}`
      const found = parts.get(key) ?? []
      parts.set(key, found)
      found[file.part - 1] = file.path
      paths = found.filter(Boolean).length === file.parts ? found : undefined
    }
    if (paths === undefined) continue
    if (newest === undefined || file.version >= newest.version) {
      newest = { version: file.version, paths }
    }
  }
  return newest
}

function missingTarget(
  files: readonly LogFile[],
  root: string,
  target: DeltaVersion | undefined,
): undefined {
  if (files.length > 0 && target !== undefined) throw missing(root, target, 'it was cleaned up')
  return undefined
}

function gap(root: string, expected: bigint, found: bigint): SluiceError {
  const text = `the log of ${root} has no version ${expected}, but has version ${found}`
  return new SluiceError('DELTA_LOG_GAP', text)
}

function missing(root: string, version: bigint, why: string): SluiceError {
  return new SluiceError('DELTA_VERSION_MISSING', `${root} has no version ${version}: ${why}`)
}

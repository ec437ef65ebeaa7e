/** Reads a Delta log: whole, from its newest usable checkpoint, or only what is new. */
import { hasCode, SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { parseActions } from './action-json.ts'
import type { Action } from './actions.ts'
import { readCheckpoint, readLastCheckpointHint } from './checkpoint-read.ts'
import type { DeltaSnapshot, DeltaVersion } from './delta-table.ts'
import {
  commitPath,
  deltaVersion,
  listFromPath,
  logFolder,
  parseLogPath,
  type LogFile,
} from './log-path.ts'
import { applyActions, finishReplay, startReplay, type ReplayState } from './log-replay.ts'
import { buildLogSegment, type LogSegment } from './log-segment.ts'

export interface LogReader {
  readonly storage: ObjectStorage
  readonly root: string
  readonly nowMs: () => number
}

/** A snapshot and what shows later that its last commit is still the one that was read. */
export interface ReadSnapshot {
  readonly snapshot: DeltaSnapshot
  /** Size and modification time of the last commit's file; '' when it is not there any more. */
  readonly mark: string
}

/** Commits that are read at once. */
const parallelReads = 16

/**
 * A listing is not one moment: commits made, or cleaned up, while it runs can look like a gap.
 * A true gap is still there the next time.
 */
const attempts = 3

/** undefined: no log at all. Throws DELTA_LOG_*, DELTA_VERSION_MISSING. */
export async function readWholeLog(
  log: LogReader,
  target?: DeltaVersion,
): Promise<ReadSnapshot | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await readListedLog(log, target)
    } catch (error) {
      if (attempt === attempts || !hasCode(error, 'DELTA_LOG_GAP')) throw error
    }
  }
}

async function readListedLog(
  log: LogReader,
  target: DeltaVersion | undefined,
): Promise<ReadSnapshot | undefined> {
  const hint = await readLastCheckpointHint(log)
  if (hint !== undefined && (target === undefined || target >= hint)) {
    const read = await readFromHint(log, hint, target)
    if (read !== undefined) return read
  }
  let files = await listLog(log, 0n)
  for (;;) {
    const segment = buildLogSegment(files, shownFolder(log), target)
    if (segment === undefined) return undefined
    try {
      return await readSegment(log, segment)
    } catch (error) {
      const checkpoint = segment.checkpoint
      if (checkpoint === undefined || !isUnreadableCheckpoint(error)) throw error
      // An older checkpoint, or the commits alone, may still give the same state.
      files = files.filter((file) => !checkpoint.paths.includes(file.path))
      if (!hasSegment(files, shownFolder(log), target)) throw error
    }
  }
}

/** undefined when what the hint points to is not enough to go by. */
async function readFromHint(
  log: LogReader,
  hint: bigint,
  target: DeltaVersion | undefined,
): Promise<ReadSnapshot | undefined> {
  const files = await listLog(log, hint)
  const isThere = files.some((file) => file.kind !== 'commit')
  if (!isThere || !hasSegment(files, shownFolder(log), target)) return undefined
  const segment = buildLogSegment(files, shownFolder(log), target)
  if (segment?.checkpoint === undefined) return undefined
  try {
    return await readSegment(log, segment)
  } catch (error) {
    if (isUnreadableCheckpoint(error)) return undefined
    throw error
  }
}

function shownFolder({ storage, root }: LogReader): string {
  return root === '' ? storage.url : `${storage.url}/${root}`
}

function isUnreadableCheckpoint(error: unknown): boolean {
  return hasCode(error, 'DELTA_LOG_CORRUPT') && error.message.includes('.checkpoint')
}

function hasSegment(
  files: readonly LogFile[],
  root: string,
  target: DeltaVersion | undefined,
): boolean {
  try {
    return buildLogSegment(files, root, target) !== undefined
  } catch (error) {
    if (error instanceof SluiceError) return false
    throw error
  }
}

async function readSegment(log: LogReader, segment: LogSegment): Promise<ReadSnapshot> {
  const state = startReplay()
  if (segment.checkpoint !== undefined) {
    applyActions(state, await readCheckpoint(log, segment.checkpoint))
  }
  for (let from = 0; from < segment.commits.length; from += parallelReads) {
    const paths = segment.commits.slice(from, from + parallelReads).map(({ path }) => path)
    const commits = await Promise.all(paths.map((path) => readCommit(log, path)))
    commits.forEach((actions, n) => {
      if (actions === undefined) {
        throw new SluiceError('DELTA_LOG_GAP', `${paths[n]} vanished while the log was read`)
      }
      applyActions(state, actions)
    })
  }
  return finishRead(log, state, {
    version: segment.version,
    fallback: segment.checkpoint?.paths[0],
  })
}

/** What was committed after `known`, applied to it; `known` itself when nothing was. */
export async function readNewCommits(
  log: LogReader,
  known: ReadSnapshot,
): Promise<ReadSnapshot | undefined> {
  // The folder may have been deleted, or made anew, since.
  const mark = await markOf(log, known.snapshot.version)
  if (mark.text !== known.mark) return undefined
  let state: ReplayState | undefined
  let version: bigint = known.snapshot.version
  for (;;) {
    const actions = await readCommit(log, commitPath(log.root, version + 1n))
    if (actions === undefined) break
    state ??= startReplay(known.snapshot)
    applyActions(state, actions)
    version++
  }
  return state === undefined
    ? known
    : finishRead(log, state, { version: deltaVersion(version), fallback: undefined })
}

/**
 * The snapshot that our own commit `version` made of `base`. Only the file's time is read, and
 * failing to does not undo the commit: the next read of the log is then a whole one.
 */
export async function snapshotAfterCommit(
  log: LogReader,
  base: DeltaSnapshot | undefined,
  { version, actions }: { readonly version: DeltaVersion; readonly actions: readonly Action[] },
): Promise<ReadSnapshot> {
  const state = startReplay(base)
  applyActions(state, actions)
  const mark = await markOf(log, version).catch(() => noMark)
  const nowMs = log.nowMs()
  const modifiedAtMs = mark.modifiedAtMs ?? nowMs
  const snapshot = finishReplay(state, { version, modifiedAtMs, nowMs, root: log.root })
  return { snapshot, mark: mark.text }
}

async function finishRead(
  log: LogReader,
  state: ReplayState,
  { version, fallback }: { readonly version: DeltaVersion; readonly fallback: string | undefined },
): Promise<ReadSnapshot> {
  const mark = await markOf(log, version)
  const other =
    mark.modifiedAtMs === undefined && fallback !== undefined
      ? await log.storage.stat(fallback)
      : undefined
  const modifiedAtMs = mark.modifiedAtMs ?? other?.modifiedAtMs ?? log.nowMs()
  const options = { version, modifiedAtMs, nowMs: log.nowMs(), root: log.root }
  return { snapshot: finishReplay(state, options), mark: mark.text }
}

interface Mark {
  readonly text: string
  readonly modifiedAtMs: number | undefined
}

const noMark: Mark = { text: '', modifiedAtMs: undefined }

async function markOf(log: LogReader, version: bigint): Promise<Mark> {
  const info = await log.storage.stat(commitPath(log.root, version))
  if (info === undefined) return noMark
  return { text: `${info.sizeBytes}/${info.modifiedAtMs}`, modifiedAtMs: info.modifiedAtMs }
}

/** undefined when there is no such commit. */
export async function readCommit(
  log: LogReader,
  path: string,
): Promise<readonly Action[] | undefined> {
  const bytes = await log.storage.read(path)
  return bytes === undefined ? undefined : parseActions(new TextDecoder().decode(bytes), path)
}

/** Files of the log from `version` on that replay knows. */
export async function listLog(log: LogReader, version: bigint): Promise<readonly LogFile[]> {
  const folder = `${logFolder(log.root)}/`
  const files: LogFile[] = []
  for await (const { path } of log.storage.list(folder, listFromPath(log.root, version))) {
    if (path.includes('/', folder.length)) continue
    const file = parseLogPath(path)
    if (file !== undefined) files.push(file)
  }
  return files
}

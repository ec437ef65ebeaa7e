/**
 * Deletes log files that are older than `delta.logRetentionDuration` and that no version within it
 * needs. PROTOCOL.md, "Metadata Cleanup": the newest checkpoint at or before the cutoff stays, and
 * with it the commit of its own version.
 */
import type { ObjectStorage } from '../storage/object-storage.ts'
import type { DeltaSnapshot } from './delta-table.ts'
import { deltaVersion, logFolder, parseLogPath, type LogFile } from './log-path.ts'
import { buildLogSegment } from './log-segment.ts'
import { logRetentionMs, mayCleanUpLog } from './table-properties.ts'

interface TimedLogFile {
  readonly file: LogFile
  readonly modifiedAtMs: number
}

/** Returns how many files were deleted. Oldest first, so that a crash leaves a log without holes. */
export async function cleanUpLog(
  table: { readonly storage: ObjectStorage; readonly root: string },
  snapshot: DeltaSnapshot,
  nowMs: number,
): Promise<number> {
  if (!mayCleanUpLog(snapshot.metadata)) return 0
  const files = await listWithTimes(table.storage, table.root)
  const cutoff = newestExpiredVersion(files, nowMs - logRetentionMs(snapshot.metadata))
  if (cutoff === undefined) return 0
  const upToCutoff = files.map(({ file }) => file).filter((file) => file.version <= cutoff)
  const checkpoint = buildLogSegment(upToCutoff, table.root, deltaVersion(cutoff))?.checkpoint
  if (checkpoint === undefined || !(await areWhole(table.storage, checkpoint.paths))) return 0
  const expired = upToCutoff.filter((file) => file.version < checkpoint.version)
  for (const file of expired) await table.storage.delete(file.path)
  return expired.length
}

/** Ascending by path, and so by version. */
async function listWithTimes(storage: ObjectStorage, root: string): Promise<TimedLogFile[]> {
  const folder = `${logFolder(root)}/`
  const files: TimedLogFile[] = []
  for await (const { path, modifiedAtMs } of storage.list(folder)) {
    if (path.includes('/', folder.length)) continue
    const file = parseLogPath(path)
    if (file !== undefined) files.push({ file, modifiedAtMs })
  }
  return files
}

/** Commit times may run backwards between writers: a version counts only when all before it do. */
function newestExpiredVersion(
  files: readonly TimedLogFile[],
  expiryMs: number,
): bigint | undefined {
  let newest: bigint | undefined
  for (const { file, modifiedAtMs } of files) {
    if (file.kind !== 'commit') continue
    if (modifiedAtMs >= expiryMs) break
    newest = file.version
  }
  return newest
}

/** Parquet files end in a magic number; one that does not was torn, and must not be relied on. */
async function areWhole(storage: ObjectStorage, paths: readonly string[]): Promise<boolean> {
  for (const path of paths) {
    if (!path.endsWith('.parquet')) return false
    const info = await storage.stat(path)
    if (info === undefined || info.sizeBytes < 12) return false
    const tail = await storage.readRange(path, info.sizeBytes - 4, info.sizeBytes)
    if (Buffer.from(tail).toString('latin1') !== 'PAR1') return false
  }
  return true
}

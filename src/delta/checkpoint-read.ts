/**
 * Checkpoints → actions: classic, multi-part, and V2 in Parquet or JSON with sidecars.
 * PROTOCOL.md, "Checkpoints". A classic name may hold the V2 form, so all are read alike.
 */
import { SluiceError } from '../base/errors.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import { actionOf, parseLines } from './action-json.ts'
import type { Action } from './actions.ts'
import { lastCheckpointPath, logFolder } from './log-path.ts'
import type { CheckpointFiles } from './log-segment.ts'
import { readParquetRows, type ParquetRow } from './parquet-rows.ts'

const actionColumns = ['txn', 'add', 'remove', 'metaData', 'protocol', 'domainMetadata', 'sidecar']

interface LogOfTable {
  readonly storage: ObjectStorage
  readonly root: string
}

/** All actions of a checkpoint. Throws DELTA_LOG_CORRUPT naming the file. */
export async function readCheckpoint(
  table: LogOfTable,
  checkpoint: CheckpointFiles,
): Promise<readonly Action[]> {
  const actions: Action[] = []
  const sidecars: string[] = []
  for (const path of checkpoint.paths) {
    for (const row of await readRows(table.storage, path)) {
      const action = actionOf(row, path)
      if (action !== undefined) actions.push(action)
      const sidecar = sidecarPath(table.root, row)
      if (sidecar !== undefined) sidecars.push(sidecar)
    }
  }
  for (const path of sidecars) {
    for (const row of await readRows(table.storage, path)) {
      const action = actionOf(row, path)
      if (action !== undefined) actions.push(action)
    }
  }
  return actions
}

async function readRows(storage: ObjectStorage, path: string): Promise<readonly ParquetRow[]> {
  const bytes = await storage.read(path)
  if (bytes === undefined) throw new SluiceError('DELTA_LOG_CORRUPT', `${path} is missing`)
  if (path.endsWith('.json')) return parseLines(new TextDecoder().decode(bytes), path)
  try {
    return await readParquetRows(bytes, actionColumns)
  } catch (error) {
    throw new SluiceError('DELTA_LOG_CORRUPT', `${path} is no readable checkpoint`, {
      cause: error,
    })
  }
}

/** "Sidecar File Information": `path` is a name in `_sidecars`, or an absolute path. */
function sidecarPath(root: string, row: ParquetRow): string | undefined {
  const sidecar = row['sidecar']
  if (typeof sidecar !== 'object' || sidecar === null || !('path' in sidecar)) return undefined
  if (typeof sidecar.path !== 'string') return undefined
  const name = sidecar.path.slice(sidecar.path.lastIndexOf('/') + 1)
  return `${logFolder(root)}/_sidecars/${decodeURIComponent(name)}`
}

/** Version that `_last_checkpoint` names. Only a hint: absent, torn or stale, it changes nothing. */
export async function readLastCheckpointHint({
  storage,
  root,
}: LogOfTable): Promise<bigint | undefined> {
  const bytes = await storage.read(lastCheckpointPath(root))
  if (bytes === undefined) return undefined
  try {
    const hint: unknown = JSON.parse(new TextDecoder().decode(bytes))
    if (typeof hint !== 'object' || hint === null || !('version' in hint)) return undefined
    const { version } = hint
    return typeof version === 'number' && Number.isSafeInteger(version) && version >= 0
      ? BigInt(version)
      : undefined
  } catch {
    return undefined
  }
}

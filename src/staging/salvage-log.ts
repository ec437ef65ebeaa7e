/**
 * Makes a staging volume whose log is damaged usable again, for somebody who copies every table anew
 * anyway: the log begins afresh after everything that was ever in it, as after a purge. Files are
 * left to the next gateway, which removes what no manifest names.
 */
import { hasCode } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'
import {
  logBasePath,
  logFolder,
  parseDataFilePath,
  parseManifestPath,
  tablesFolder,
} from './layout.ts'
import { type BaseTable, emptyLogBase, type LogBase } from './log-base.ts'
import { encodeLogBase } from './manifest-codec.ts'
import type { CommitNumber, StoredManifest, TableEntry } from './manifest.ts'
import { publishManifest } from './publish-manifest.ts'
import { readLogBase, readManifest, tellLog } from './read-log.ts'
import { RecoveredLog } from './recovered-log.ts'
import { manifestOf } from './staging-log-writer.ts'
import { onVolume } from './volume-error.ts'

/** How far somebody has applied a table. */
export interface AppliedTable {
  readonly tableId: string
  readonly commit: CommitNumber
  /** Of the copy it was loaded from. */
  readonly snapshotId: number
  /** Whether it was the copy with this point. */
  readonly isCopy?: (point: string) => boolean
}

export interface SalvageOptions {
  readonly storage: ObjectStorage
  /** A log that they are ahead of, as of a volume that was lost, begins afresh after them. */
  readonly applied?: readonly AppliedTable[]
  /** Random per process. */
  readonly writer: string
  readonly nowMs: number
  readonly failpoints: Failpoints
}

/** Where the log begins now; undefined when it was whole and nothing was done. Throws STORAGE_*. */
export async function salvageLog(options: SalvageOptions): Promise<CommitNumber | undefined> {
  const { storage, applied = [] } = options
  try {
    const recovered = new RecoveredLog()
    await tellLog(storage, recovered)
    return isOvertaken(recovered, applied) ? await beginAfresh(options) : undefined
  } catch (error) {
    if (isDamage(error)) return await beginAfresh(options)
    throw onVolume(storage, error)
  }
}

/** What it goes on to say would be taken for something that was applied long ago. */
function isOvertaken(log: RecoveredLog, applied: readonly AppliedTable[]): boolean {
  const tables = log.tables()
  return applied.some(({ tableId, commit, snapshotId, isCopy }) => {
    if (commit > (log.newest ?? -1)) return true
    const table = tables.get(tableId)
    if (table === undefined) return false
    const { snapshot_id: newest = -1, point = '' } = table.started ?? {}
    return snapshotId > newest || (snapshotId === newest && isCopy?.(point) === false)
  })
}

function isDamage(error: unknown): boolean {
  return hasCode(error, 'STAGING_MANIFEST_UNREADABLE') || hasCode(error, 'STAGING_LOG_GAP')
}

async function readable<T>(work: Promise<T>): Promise<T | undefined> {
  return await work.catch((error: unknown) => {
    if (isDamage(error)) return undefined
    throw error
  })
}

async function beginAfresh({
  storage,
  writer,
  nowMs,
  failpoints,
  applied = [],
}: SalvageOptions): Promise<CommitNumber> {
  const before = (await readable(readLogBase(storage))) ?? emptyLogBase
  const numbers: CommitNumber[] = []
  for await (const { path } of storage.list(logFolder)) {
    const commit = parseManifestPath(path)
    if (commit !== undefined && commit >= before.first) numbers.push(commit)
  }
  const manifests: StoredManifest[] = []
  for (const number of numbers) {
    const manifest = await readable(readManifest(storage, number))
    if (manifest !== undefined) manifests.push(manifest)
  }
  const files = await greatestInFileNames(storage)
  // Of a volume that was lost nothing else names the tables.
  const ids = new Set([...files.ids, ...applied.map(({ tableId }) => tableId)])
  // A log may hold more manifests than a call takes arguments.
  const greatestEpoch = manifests.reduce((most, { epoch }) => Math.max(most, epoch), files.epoch)
  const least = applied.reduce(
    (most, { commit, snapshotId }) => Math.max(most, commit + 1, snapshotId + 1),
    Math.max(before.first, (numbers.at(-1) ?? -1) + 1),
  )
  for (let first = least; ; first++) {
    const head = {
      commit: first,
      // Every gateway publishes when it takes over, so there never were more epochs than commits.
      epoch: Math.max(first, greatestEpoch) + 1,
      writer,
      nowMs,
    }
    const nothing = { incarnation: '', position_before: '', position_after: '', entries: [] }
    const claim = manifestOf(nothing, head)
    const outcome = await publishManifest(storage, claim, undefined)
    if (outcome.kind === 'taken') continue
    failpoints.hit('staging.salvage-claimed')
    await storage.write(logBasePath, encodeLogBase(freshBase(first, before, manifests, ids)))
    return first
  }
}

/** A log that lost its newest manifests: the files they named still tell how far it was. */
async function greatestInFileNames(
  storage: ObjectStorage,
): Promise<{ readonly epoch: number; readonly ids: ReadonlySet<string> }> {
  let epoch = 0
  const ids = new Set<string>()
  for await (const { path } of storage.list(tablesFolder)) {
    const name = parseDataFilePath(path)
    if (name === undefined) continue
    epoch = Math.max(epoch, name.epoch)
    ids.add(name.tableId)
  }
  return { epoch, ids }
}

/**
 * Every table with a gap. A table begins at most one copy per commit, so no copy ever had a number
 * from `first` on; naming that one makes every later copy newer than what was lost.
 */
function freshBase(
  first: CommitNumber,
  before: LogBase,
  manifests: readonly StoredManifest[],
  ids: ReadonlySet<string>,
): LogBase {
  const named = new Map<string, TableEntry | undefined>([...ids].map((id) => [id, undefined]))
  const entries = [
    ...before.tables.flatMap((table) => table.entries),
    ...manifests.flatMap((manifest) => manifest.entries),
  ]
  for (const entry of entries) {
    const known = named.get(entry.table_id)
    if (entry.kind !== 'table') named.set(entry.table_id, known)
    else if (entry.schema_version >= (known?.schema_version ?? 0)) named.set(entry.table_id, entry)
  }
  const tables = [...named].map(([table_id, table]): BaseTable => ({
    table_id,
    last_commit: first - 1,
    entries: [
      ...(table === undefined ? [] : [table]),
      {
        kind: 'snapshot_started',
        table_id,
        snapshot_id: first,
        schema_version: table?.schema_version ?? 0,
        point: '',
        chunk_count: 0,
      },
      { kind: 'gap', table_id, reason: 'the staging log was damaged' },
    ],
  }))
  const last = [before, ...manifests].findLast((one) => one.last_sequence !== undefined)
  return {
    first,
    ...(last?.last_sequence === undefined ? {} : { last_sequence: last.last_sequence }),
    tables: tables.toSorted((a, b) => (a.table_id < b.table_id ? -1 : 1)),
  }
}

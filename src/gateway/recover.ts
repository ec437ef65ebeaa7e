/**
 * What the log of a staging volume says about the past of a gateway: the state from which the next
 * one goes on, wherever the last one was stopped.
 */
import type { Incarnation, Position, SourceState } from '../source/source.ts'
import type { LogBase } from '../staging/log-base.ts'
import type { Manifest, ManifestEntry, SnapshotStartedEntry } from '../staging/manifest.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { CopyLedger, type StagedChunk } from './copy-ledger.ts'
import { gapEntry } from './followed-tables.ts'
import type { TableSyncState } from './gateway-status.ts'

export interface RecoveredTable {
  readonly tableId: string
  /** `schema.table`; undefined when the log never named it. */
  name: string | undefined
  /** Newest on record, -1 before the first. */
  schemaVersion: number
  /** The newest copy that was begun; undefined before the first. */
  started: SnapshotStartedEntry | undefined
  /** Of that copy and each time it was resumed. */
  points: string[]
  /** Number of the first chunk under the newest point, and how many there are. */
  firstChunk: number
  chunkCount: number
  /** Chunks of that copy that are staged, by number, and their rows. */
  readonly chunks: Map<number, StagedChunk>
  rows: number
  isFinished: boolean
  /** The table was discontinued after that copy was begun. */
  hasGap: boolean
  /** On record as gone, and no copy was begun since. */
  isGone: boolean
}

export interface Recovered {
  /** undefined when no gateway ever got as far as a position. */
  readonly state: SourceState | undefined
  readonly lastSequence: bigint
  readonly tables: ReadonlyMap<string, RecoveredTable>
}

/** The gateway was removed: whoever reads its source again begins anew. */
function isEnd({ position_before: before, position_after: after }: Manifest): boolean {
  return before !== '' && after === ''
}

/** Puts on record that nothing goes on from what is staged: every table is copied anew. */
export async function recordEnd(
  staging: Pick<StagingLog, 'base' | 'manifests' | 'publish'>,
  reason: string,
): Promise<void> {
  const { state, tables } = recover(staging.base, staging.manifests)
  if (state === undefined) return
  const entries = [...tables.keys()].map((table) => gapEntry(table, reason))
  const end = { incarnation: '', position_before: state.position, position_after: '' }
  await staging.publish({ ...end, entries })
}

/** `manifests` ascending; `base` is what a purge left of those before them. */
export function recover(base: LogBase, manifests: readonly Manifest[]): Recovered {
  const tables = new Map<string, RecoveredTable>()
  for (const { entries } of base.tables) for (const entry of entries) note(tables, entry)
  for (const { entries } of manifests) for (const entry of entries) note(tables, entry)
  const ended = manifests.findLastIndex(isEnd)
  const placed = manifests.findLast(({ position_after: after }, n) => n > ended && after !== '')
  const sequenced = manifests.findLast((manifest) => manifest.last_sequence !== undefined)
  return {
    state:
      placed === undefined
        ? undefined
        : {
            incarnation: placed.incarnation as Incarnation,
            position: placed.position_after as Position,
          },
    lastSequence: BigInt(sequenced?.last_sequence ?? base.last_sequence ?? 0),
    tables,
  }
}

/**
 * Where the table stands at a start. A copy that was cut off goes on from its staged chunks, or
 * begins anew where it can not; one whose chunks are all staged only waits for its point.
 */
export function recoveredState(table: RecoveredTable): Exclude<TableSyncState, 'failed'> {
  const { started, hasGap, isFinished, chunks } = table
  if (started === undefined || hasGap) return 'pending'
  if (isFinished) return 'streaming'
  // Without chunks nothing on record tells a copy that holds from one that was given up at once.
  if (chunks.size === 0) return 'pending'
  const last = [...chunks.keys()].filter((number) => number >= table.firstChunk)
  if (last.length >= table.chunkCount) return 'catching-up'
  return ledgerOf(table).canResume ? 'snapshotting' : 'pending'
}

/** From which the copy in progress can go on. */
export function ledgerOf(table: RecoveredTable): CopyLedger {
  const { started, points, firstChunk, chunkCount, chunks } = table
  const schemaVersion = started?.schema_version ?? -1
  const begun = { schemaVersion, points, nextNumber: firstChunk + chunkCount }
  return new CopyLedger(begun, [...chunks.values()])
}

function note(tables: Map<string, RecoveredTable>, entry: ManifestEntry): void {
  const table = tableOf(tables, entry.table_id)
  switch (entry.kind) {
    case 'table':
      table.name = `${entry.source_schema}.${entry.source_table}`
      table.schemaVersion = Math.max(table.schemaVersion, entry.schema_version)
      break
    case 'snapshot_started':
      table.started = entry
      table.points = [entry.point]
      table.firstChunk = 0
      table.chunkCount = entry.chunk_count
      table.chunks.clear()
      table.rows = 0
      table.isFinished = table.hasGap = table.isGone = false
      break
    case 'snapshot_resumed':
      if (table.started?.snapshot_id !== entry.snapshot_id) break
      table.points.push(entry.point)
      table.firstChunk = entry.first_chunk
      table.chunkCount = entry.chunk_count
      break
    case 'snapshot_chunk':
      if (table.started?.snapshot_id !== entry.snapshot_id || table.chunks.has(entry.chunk)) break
      table.chunks.set(entry.chunk, { range: entry.range, point: entry.resumption ?? 0 })
      for (const file of entry.files) table.rows += file.rows
      break
    case 'snapshot_finished':
      if (table.started?.snapshot_id === entry.snapshot_id) table.isFinished = true
      break
    case 'schema_change':
      // Its `table` entry says the same for the version.
      if (table.started?.snapshot_id === entry.snapshot_id) {
        table.schemaVersion = Math.max(table.schemaVersion, entry.schema_version)
      }
      break
    case 'gap':
      table.hasGap = true
      table.isGone = entry.gone === true
      break
    case 'changes':
    case 'truncate':
      break
    default:
      entry satisfies never
  }
}

function tableOf(tables: Map<string, RecoveredTable>, tableId: string): RecoveredTable {
  let table = tables.get(tableId)
  if (table === undefined) {
    table = {
      tableId,
      name: undefined,
      schemaVersion: -1,
      started: undefined,
      points: [],
      firstChunk: 0,
      chunkCount: 0,
      chunks: new Map(),
      rows: 0,
      isFinished: false,
      hasGap: false,
      isGone: false,
    }
    tables.set(tableId, table)
  }
  return table
}

/**
 * What the log of a staging volume says about the past of a gateway: the state from which the next
 * one goes on, wherever the last one was stopped.
 */
import type { Incarnation, Position, SourceState } from '../source/source.ts'
import type { RecoveredLog, RecoveredTable } from '../staging/recovered-log.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { CopyLedger } from './copy-ledger.ts'
import { gapEntry } from './followed-tables.ts'
import type { TableSyncState } from './gateway-status.ts'

export interface Recovered {
  /** undefined when no gateway ever got as far as a position. */
  readonly state: SourceState | undefined
  readonly lastSequence: bigint
  readonly tables: ReadonlyMap<string, RecoveredTable>
}

/** Puts on record that nothing goes on from what is staged: every table is copied anew. */
export async function recordEnd(
  staging: Pick<StagingLog, 'recovered' | 'publish'>,
  reason: string,
): Promise<void> {
  const { state, tables } = recover(staging.recovered)
  if (state === undefined) return
  const entries = [...tables.keys()].map((table) => gapEntry(table, reason))
  const end = { incarnation: '', position_before: state.position, position_after: '' }
  await staging.publish({ ...end, entries })
}

export function recover(log: RecoveredLog): Recovered {
  const { place, lastSequence } = log
  return {
    state:
      place === undefined
        ? undefined
        : {
            incarnation: place.incarnation as Incarnation,
            position: place.position as Position,
          },
    lastSequence,
    tables: log.tables(),
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

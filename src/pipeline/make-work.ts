/** A plan for a table as the work that its destination does. */
import type { DestinationColumns } from '../destination/destination-columns.ts'
import { digestPoint, type DestinationState } from '../destination/destination-state.ts'
import { keepsHistory } from '../destination/destination-kind.ts'
import type { HistoryPlan, TableCopyPoint, TableWork } from '../destination/table-work.ts'
import type { CommitNumber } from '../staging/manifest.ts'
import type { TablePlan } from './plan.ts'
import type { StagedSnapshot, StagedTable } from '../staging/staged-table.ts'
import type { WorkColumns } from './table-schemas.ts'

/** What a load does to the history that the table may have; a full refresh ends it. */
export function historyOf(
  plan: Extract<TablePlan, { kind: 'load' | 'changes' }>,
  context: {
    readonly state: DestinationState
    readonly columns: DestinationColumns
    readonly table: StagedTable
  },
): HistoryPlan {
  const { state, columns, table } = context
  if (plan.kind !== 'load' || !keepsHistory(columns.kind)) return 'replaced'
  const isRefreshed = (table.refreshedAt ?? -1) > (state.applied ?? Number.POSITIVE_INFINITY)
  if (state.kind !== columns.kind || isRefreshed) return 'replaced'
  const { started } = plan.snapshot
  const isSameCopy =
    state.snapshotId === started.snapshot_id && state.snapshotPoint === digestPoint(started.point)
  return isSameCopy && state.applied !== undefined ? 'compared' : 'continued'
}

export function toWork(
  plan: Extract<TablePlan, { kind: 'load' | 'changes' }>,
  context: {
    readonly columns: WorkColumns
    readonly target: CommitNumber
    readonly targetSeal: number | undefined
    /** Place in the source's log after `target`. */
    readonly position: string
    readonly history: HistoryPlan
    readonly from: CommitNumber | undefined
  },
): TableWork {
  const { columns, target, targetSeal, position, from, history } = context
  const times = plan.steps.flatMap(({ times: range }) =>
    range === undefined ? [] : [{ min: BigInt(range.min), max: BigInt(range.max) }],
  )
  const { started } = plan.snapshot
  return {
    kind: plan.kind,
    snapshotId: started.snapshot_id,
    snapshotPoint: digestPoint(started.point),
    schemaVersion: columns.schemaVersion,
    columns: columns.columns,
    ...(columns.evolution === undefined ? {} : { evolution: columns.evolution }),
    upgrades: columns.upgrades,
    history,
    ...(plan.kind === 'load' ? { copy: copyPoint(plan.snapshot) } : {}),
    chunks: plan.kind === 'load' ? plan.chunks : [],
    superseding: plan.kind === 'load' ? plan.superseding : [],
    steps: plan.steps.map(({ entry }) => entry),
    from,
    target,
    targetSeal,
    source: {
      position,
      ...(times.length === 0
        ? {}
        : {
            minCommitTimeUs: String(
              times.reduce((a, b) => (b.min < a ? b.min : a), times[0]?.min ?? 0n),
            ),
            maxCommitTimeUs: String(
              times.reduce((a, b) => (b.max > a ? b.max : a), times[0]?.max ?? 0n),
            ),
          }),
    },
  }
}

/**
 * Where a copy stands among the changes. Transactions that were staged before it began are before
 * it; changes that continue it are of later ones.
 */
function copyPoint({ started, resumed, place }: StagedSnapshot): TableCopyPoint {
  const { taken_at_us: takenAtUs } = resumed ?? started
  return {
    takenAtUs: takenAtUs === undefined ? BigInt(place.createdAtMs) * 1000n : BigInt(takenAtUs),
    sequence: BigInt(place.lastSequence ?? -1) + 1n,
  }
}

/** What an update has to do for one table: from what is staged and what is applied. Pure. */
import { SluiceError } from '../base/errors.ts'
import { digestPoint } from '../destination/destination-state.ts'
import { lostToPurge, type LogBase } from '../staging/log-base.ts'
import type { SupersedingFile } from '../destination/table-work.ts'
import type { CommitNumber, SnapshotChunkEntry } from '../staging/manifest.ts'
import type { Recall } from '../staging/recalling.ts'
import {
  newestFinished,
  type StagedSnapshot,
  type StagedStep,
  type StagedTable,
} from '../staging/staged-table.ts'

/** What the destination table says about itself. */
export interface AppliedState {
  /** Staged commit it is applied up to; undefined: not loaded, or to be loaded anew. */
  readonly commit: CommitNumber | undefined
  /** Not loaded: where the pipeline that gave the table up stood, maybe in another log. */
  readonly reached?: CommitNumber | undefined
  readonly snapshotId: number | undefined
  /** Digest of `snapshot_started.point` of the copy it was loaded from. */
  readonly snapshotPoint: string | undefined
  /** Of the staged schema its columns are from. */
  readonly schemaVersion: number | undefined
  /** The log has another manifest of that commit than the one that was applied. */
  readonly isReplaced?: boolean
}

export type TablePlan =
  /** Nothing staged for the table since `applied`. */
  | { readonly kind: 'nothing' }
  /** No copy of the table is finished yet. */
  | { readonly kind: 'waiting' }
  /** Replaces the whole table by a copy and the changes on top of it. */
  | {
      readonly kind: 'load'
      readonly snapshot: StagedSnapshot
      readonly chunks: readonly SnapshotChunkEntry[]
      /** What supersedes rows of chunks that were read before the copy was resumed. */
      readonly superseding: readonly SupersedingFile[]
      /** After the newest point of the copy. */
      readonly steps: readonly StagedStep[]
    }
  | {
      readonly kind: 'changes'
      readonly snapshot: StagedSnapshot
      readonly steps: readonly StagedStep[]
    }
  /** It can be planned once what is forgotten of a copy was read again. */
  | { readonly kind: 'recall'; readonly recall: Recall }
  /** The source has the table no more, and everything it left is applied or was never begun. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'blocked'; readonly error: SluiceError }

export interface PlanInput {
  readonly table: StagedTable
  readonly applied: AppliedState
  /** Nothing after this commit. */
  readonly target: CommitNumber
  /** The newest staged commit there is. */
  readonly newest: CommitNumber
  readonly base: LogBase
}

export function planTable(input: PlanInput): TablePlan {
  const plan = planPresent(input)
  const { table, applied, target } = input
  if (!isGoneAt(table, target)) return plan
  // What was never loaded is not begun with, and what a purge took is nowhere any more.
  if (applied.commit === undefined || newestFinished(table.snapshots, target) === undefined) {
    return { kind: 'gone' }
  }
  const isOver =
    plan.kind === 'nothing' || plan.kind === 'waiting' || (plan.kind === 'blocked' && isEnd(plan))
  return isOver ? { kind: 'gone' } : plan
}

/** By `target` the table is gone at the source. */
export function isGoneAt(table: StagedTable, target: CommitNumber): boolean {
  return table.isGone && table.gap !== undefined && table.gap.commit <= target
}

function isEnd({ error }: Extract<TablePlan, { kind: 'blocked' }>): boolean {
  return error.code === 'PIPELINE_TABLE_GAP' || error.code === 'PIPELINE_STAGING_PURGED'
}

function planPresent(input: PlanInput): TablePlan {
  const { table, applied, target, newest } = input
  if (applied.commit !== undefined && applied.commit > newest) {
    const text = `is applied up to staged commit ${applied.commit}; the log ends at ${newest}`
    return blocked('PIPELINE_STAGING_REPLACED', table, text)
  }
  // It was further than this target before the process started again.
  if (applied.commit !== undefined && applied.commit > target) return { kind: 'nothing' }
  // Readers would see an older state than its former owner left; the newest is in any log.
  if (target < newest && (applied.reached ?? -1) > target) return { kind: 'nothing' }
  const finished = newestFinished(table.snapshots, target)
  const gap = gapError(table, target)
  if (finished === undefined) {
    // Of a log that begins afresh the next copy replaces whatever the table was loaded from.
    if (applied.commit === undefined || hasNewerCopy(table, applied)) {
      return gap === undefined ? { kind: 'waiting' } : { kind: 'blocked', error: gap }
    }
    return blocked('PIPELINE_STAGING_REPLACED', table, 'has no finished copy in the staging log')
  }
  const id = finished.started.snapshot_id
  if (applied.commit !== undefined && applied.snapshotId !== undefined) {
    if (applied.snapshotId > id) {
      const text = `was loaded from copy ${applied.snapshotId}; the newest the log offers is ${id}`
      return blocked('PIPELINE_STAGING_REPLACED', table, text)
    }
    if (applied.snapshotId === id) return planChanges(input, finished, gap)
  }
  return planLoad(input, finished)
}

function planChanges(
  { table, applied, target, base }: PlanInput,
  snapshot: StagedSnapshot,
  gap: SluiceError | undefined,
): TablePlan {
  if (applied.snapshotPoint !== digestPoint(snapshot.started.point)) {
    const text = `was loaded from another copy ${snapshot.started.snapshot_id} than the log names`
    return blocked('PIPELINE_STAGING_REPLACED', table, text)
  }
  if (applied.isReplaced === true) {
    const text = `is applied up to a staged commit ${applied.commit} that is not the one the log has now`
    return blocked('PIPELINE_STAGING_REPLACED', table, text)
  }
  if (lostToPurge(base, table.tableId, applied.commit)) return purged(table, applied, base)
  // Between the two nothing was staged of it, or it would have been lost.
  const from = Math.max((applied.commit ?? -1) + 1, base.first)
  if ((snapshot.forgottenUpTo ?? -1) >= from) return recalled(table, snapshot, from)
  const steps = stepsBetween(snapshot, applied.commit ?? -1, target)
  if (steps.length > 0) return checked(table, { kind: 'changes', snapshot, steps }, applied)
  return gap === undefined ? { kind: 'nothing' } : { kind: 'blocked', error: gap }
}

function planLoad(
  { table, applied, target, base }: PlanInput,
  snapshot: StagedSnapshot,
): TablePlan {
  if (snapshot.startedAt === undefined || snapshot.startedAt < base.first) {
    return purged(table, applied, base)
  }
  if (snapshot.forgottenUpTo !== undefined) return recalled(table, snapshot, snapshot.startedAt)
  const chunks = [...snapshot.chunks.values()].toSorted((a, b) => a.chunk - b.chunk)
  const first = snapshot.resumed?.first_chunk ?? 0
  const count = (snapshot.resumed ?? snapshot.started).chunk_count
  const last = chunks.filter(({ chunk }) => chunk >= first)
  if (last.length !== count) {
    const text = `has ${last.length} of the last ${count} chunks of copy ${snapshot.started.snapshot_id}, which the log calls finished`
    return blocked('PIPELINE_STAGING_INCONSISTENT', table, text)
  }
  const all = stepsBetween(snapshot, -1, target)
  const point = snapshot.resumed?.resumption ?? 0
  // What the newest point shows is in the chunks, or supersedes rows of earlier ones.
  const isShown = ({ entry }: StagedStep): boolean =>
    entry.kind !== 'schema_change' && (entry.resumption ?? 0) < point
  const steps = all.filter((step) => !isShown(step))
  const shown = all.filter(isShown)
  if (shown.some(({ entry }) => entry.kind === 'truncate')) {
    const text = `was truncated before copy ${snapshot.started.snapshot_id} of it was resumed`
    return blocked('PIPELINE_STAGING_INCONSISTENT', table, text)
  }
  const superseding = supersedingFiles(chunks, shown)
  return checked(table, { kind: 'load', snapshot, chunks, superseding, steps })
}

function recalled(table: StagedTable, copy: StagedSnapshot, from: CommitNumber): TablePlan {
  const { tableId } = table
  return { kind: 'recall', recall: { tableId, snapshotId: copy.started.snapshot_id, from } }
}

function supersedingFiles(
  chunks: readonly SnapshotChunkEntry[],
  shown: readonly StagedStep[],
): readonly SupersedingFile[] {
  const refreshed = chunks.filter((chunk) => chunk.refresh === true)
  return [
    ...shown.flatMap(({ entry }) =>
      entry.kind === 'changes' ? [{ file: entry.file, upTo: entry.resumption ?? 0 }] : [],
    ),
    ...refreshed.flatMap(({ files, resumption = 0 }) =>
      files.map((file) => ({ file, upTo: resumption - 1 })),
    ),
  ].filter(({ file }) => file.rows > 0)
}

/** Every schema that something was staged with is that of the copy, or a `schema_change` says so. */
function checked(table: StagedTable, plan: LoadOrChanges, applied?: AppliedState): TablePlan {
  const { started, steps } = plan.snapshot
  const known = new Set([started.schema_version, applied?.schemaVersion])
  for (const { entry } of steps) {
    if (entry.kind === 'schema_change') known.add(entry.schema_version)
  }
  const chunks = plan.kind === 'load' ? plan.chunks : []
  const entries = [...chunks, ...plan.steps.map(({ entry }) => entry)]
  const odd = entries.find((entry) => 'schema_version' in entry && !known.has(entry.schema_version))
  if (odd === undefined) return plan
  const text = `has a ${odd.kind} of a schema version that copy ${started.snapshot_id} does not have`
  return blocked('PIPELINE_STAGING_INCONSISTENT', table, text)
}

type LoadOrChanges = Extract<TablePlan, { readonly kind: 'load' | 'changes' }>

function hasNewerCopy({ snapshots }: StagedTable, { snapshotId }: AppliedState): boolean {
  return snapshotId !== undefined && [...snapshots.keys()].some((id) => id > snapshotId)
}

/** Steps of commits in (after, upTo]. */
function stepsBetween(
  snapshot: StagedSnapshot,
  after: CommitNumber,
  upTo: CommitNumber,
): readonly StagedStep[] {
  const { steps } = snapshot
  let start = steps.length
  while (start > 0 && (steps[start - 1]?.commit ?? -1) > after) start--
  let end = start
  while (end < steps.length && (steps[end]?.commit ?? Infinity) <= upTo) end++
  return steps.slice(start, end)
}

/** The newest gap, while no copy that began after it is finished. */
function gapError(table: StagedTable, target: CommitNumber): SluiceError | undefined {
  const { gap } = table
  if (gap === undefined || gap.commit > target) return undefined
  for (const snapshot of table.snapshots.values()) {
    const isFinished = snapshot.finishedAt !== undefined && snapshot.finishedAt <= target
    if (!snapshot.isVoid && isFinished) return undefined
  }
  // What the log's base says of it has no number any more.
  const after = gap.commit < 0 ? '' : ` after staged commit ${gap.commit}`
  const text = `${nameOf(table)} can not be followed${after}: ${gap.entry.reason}`
  return new SluiceError('PIPELINE_TABLE_GAP', text)
}

function purged(table: StagedTable, applied: AppliedState, base: LogBase): TablePlan {
  const upTo = applied.commit === undefined ? 'is not loaded' : `stands at ${applied.commit}`
  const text = `${upTo}, but the staging log begins at commit ${base.first}`
  const { schema, table: name } = table.name
  const remedy = `Run: sluice refresh ${schema}.${name} --full`
  return blocked('PIPELINE_STAGING_PURGED', table, text, remedy)
}

function blocked(
  code: 'PIPELINE_STAGING_REPLACED' | 'PIPELINE_STAGING_PURGED' | 'PIPELINE_STAGING_INCONSISTENT',
  table: StagedTable,
  text: string,
  remedy?: string,
): TablePlan {
  const options = remedy === undefined ? {} : { remedy }
  return { kind: 'blocked', error: new SluiceError(code, `${nameOf(table)} ${text}`, options) }
}

function nameOf(table: StagedTable): string {
  return `${table.name.schema}.${table.name.table}`
}

/**
 * The commit an update goes to: the first barrier that some table has work before, else the newest.
 * `passed` is the target of this process's last update: a table that failed there holds nobody back.
 */
export function chooseTarget(
  barriers: readonly CommitNumber[],
  newest: CommitNumber,
  passed: CommitNumber,
  hasWork: (target: CommitNumber) => boolean,
): CommitNumber {
  for (const barrier of barriers) {
    if (barrier > passed && barrier < newest && hasWork(barrier)) return barrier
  }
  return newest
}

/** Which staged change files still count, after truncates. Pure. */
import type { ChangesEntry, StagedFile } from '../staging/manifest.ts'
import type { TableWork } from './table-work.ts'

export interface StagedChanges {
  /** Ascending, as staged. */
  readonly files: readonly StagedFile[]
  readonly bytes: number
  /** Changes that count; undefined when a truncate makes that unknown. */
  readonly rows: number | undefined
  readonly hasAbsent: boolean
  /** Those of the files that have an `_absent` column. */
  readonly absentPaths: ReadonlySet<string>
  /** Smallest sequence in the files. */
  readonly firstSequence: bigint
  /** The last truncate: every row before it is gone, in the table and in the files. */
  readonly after: { readonly sequence: bigint; readonly ordinal: number } | undefined
}

export function stagedChanges(steps: TableWork['steps']): StagedChanges {
  const after = lastTruncate(steps)
  const entries = steps.filter(
    (step): step is ChangesEntry =>
      step.kind === 'changes' &&
      step.file.rows > 0 &&
      (after === undefined || BigInt(step.max_sequence) >= after.sequence),
  )
  const sequences = entries.map((entry) => BigInt(entry.min_sequence))
  return {
    files: entries.map((entry) => entry.file),
    bytes: entries.reduce((sum, entry) => sum + entry.file.bytes, 0),
    rows: after === undefined ? entries.reduce((sum, { file }) => sum + file.rows, 0) : undefined,
    hasAbsent: entries.some((entry) => entry.has_absent),
    absentPaths: new Set(entries.filter((one) => one.has_absent).map(({ file }) => file.path)),
    firstSequence: sequences.reduce(
      (min, value) => (value < min ? value : min),
      sequences[0] ?? 0n,
    ),
    after,
  }
}

/** Condition over `_seq` and `_ord`: only changes after the last truncate count. */
export function afterSql(after: StagedChanges['after']): string {
  if (after === undefined) return 'true'
  const { sequence, ordinal } = after
  return `(_seq > ${sequence} OR (_seq = ${sequence} AND _ord > ${ordinal}))`
}

function lastTruncate(
  steps: TableWork['steps'],
): { readonly sequence: bigint; readonly ordinal: number } | undefined {
  let last: { readonly sequence: bigint; readonly ordinal: number } | undefined
  for (const step of steps) {
    if (step.kind !== 'truncate') continue
    const sequence = BigInt(step.sequence)
    const isLater =
      last === undefined ||
      sequence > last.sequence ||
      (sequence === last.sequence && step.ordinal > last.ordinal)
    if (isLater) last = { sequence, ordinal: step.ordinal }
  }
  return last
}

export interface StagedTruncate {
  readonly sequence: bigint
  readonly ordinal: number
  /** Microseconds since 1970; undefined when it was staged without. */
  readonly commitTimeUs: bigint | undefined
}

/** Everything staged, for a destination that keeps what was before: nothing is taken out by a truncate. */
export interface StagedHistory {
  readonly files: readonly StagedFile[]
  readonly bytes: number
  readonly hasAbsent: boolean
  readonly absentPaths: ReadonlySet<string>
  /** Smallest sequence of all. */
  readonly firstSequence: bigint
  /** Ascending. */
  readonly truncates: readonly StagedTruncate[]
}

export function stagedHistory(steps: TableWork['steps']): StagedHistory {
  const truncates = steps.flatMap((step): StagedTruncate[] => {
    if (step.kind !== 'truncate') return []
    const { sequence, ordinal, commit_time_us: time } = step
    const commitTimeUs = time === undefined ? undefined : BigInt(time)
    return [{ sequence: BigInt(sequence), ordinal, commitTimeUs }]
  })
  const { firstSequence, ...changes } = stagedChanges(
    steps.filter((step) => step.kind === 'changes'),
  )
  const sequences = truncates.map(({ sequence }) => sequence)
  if (changes.files.length > 0) sequences.push(firstSequence)
  return {
    files: changes.files,
    bytes: changes.bytes,
    hasAbsent: changes.hasAbsent,
    absentPaths: changes.absentPaths,
    firstSequence: sequences.reduce(
      (min, value) => (value < min ? value : min),
      sequences[0] ?? 0n,
    ),
    truncates,
  }
}

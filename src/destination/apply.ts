/**
 * One update of one destination table: everything staged for it up to one staged commit, in one
 * Delta commit. Order of durability: data files, deletion vectors, commit. A stop
 * between any two changes nothing that a reader sees; the next attempt starts over, and `txn` in
 * the commit itself tells whether it is still to be done.
 */
import { SluiceError } from '../base/errors.ts'
import type { Action, AddFile, Protocol, RemoveFile } from '../delta/actions.ts'
import { storagePathOf } from '../delta/data-path.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { standardTable } from '../delta/standard-table.ts'
import { withLooseBounds } from '../delta/statistics.ts'
import { baseFiles } from './base-files.ts'
import { namedDamage } from './damaged-file.ts'
import { storedColumns } from './destination-kind.ts'
import {
  applicationId,
  clockApplicationId,
  configurationKeys,
  destinationState,
  digestColumns,
  isSameShape,
  sealApplicationId,
  sealVersion,
  type DestinationState,
} from './destination-state.ts'
import type { FileFate } from './mark-rows.ts'
import { mergeChanges, type MergedFiles, type MergeInput } from './merge-changes.ts'
import { commitQuarantined, quarantineCopy } from './quarantine.ts'
import { baseTime } from './scd2-versions.ts'
import type { TableTools, TableWork } from './table-work.ts'
import { checkUnfit } from './unfit-check.ts'

export type ApplyOutcome =
  | { readonly kind: 'committed'; readonly state: DestinationState }
  /** Somebody (this pipeline in another process) was faster: plan again from `state`. */
  | { readonly kind: 'overtaken'; readonly state: DestinationState }

/** Other writers may win this many commits in a row before we give up for this update. */
const maximumAttempts = 10

/** `state`: what is known of the table; may be stale. Throws coded errors; then nothing is visible. */
export async function applyWork(
  tools: TableTools,
  work: TableWork,
  state: DestinationState,
): Promise<ApplyOutcome> {
  for (const file of filesOf(work)) await tools.verifyFile(file)
  let current = state
  for (let attempt = 0; attempt < maximumAttempts; attempt++) {
    if (!isDue(work, current)) return { kind: 'overtaken', state: current }
    const next = await attemptCommit(tools, work, current)
    current = destinationState(next.snapshot, tools.identity)
    if (next.kind === 'committed') return { kind: 'committed', state: current }
  }
  const text = `${tools.identity.name}: other writers won ${maximumAttempts} commits in a row`
  throw new SluiceError('DESTINATION_CONTENDED', text)
}

function filesOf(work: TableWork): readonly Parameters<TableTools['verifyFile']>[0][] {
  return [
    ...work.chunks.flatMap((chunk) => chunk.files),
    ...(work.superseding ?? []).map(({ file }) => file),
    ...work.steps.flatMap((step) => {
      if (step.kind === 'schema_change') return step.fill === undefined ? [] : [step.fill]
      return step.kind === 'changes' ? [step.file] : []
    }),
  ]
}

/** Whether the work still fits the table's state. */
function isDue(work: TableWork, state: DestinationState): boolean {
  const isSameCopy =
    state.snapshotId === work.snapshotId && state.snapshotPoint === work.snapshotPoint
  const { kind, stored } = work.columns
  const before =
    work.evolution === undefined ? stored : storedColumns(kind, work.evolution.from.columns)
  const isUnchanged = isSameShape(state, { kind, stored: before, unfit: work.columns.unfit })
  if (work.kind === 'changes') {
    // Not even a part of it may be applied already: absent cells are those of the rows as planned.
    return isSameCopy && isUnchanged && state.applied === work.from
  }
  if (state.applied === undefined || state.snapshotId === undefined) return true
  if (state.applied > work.target || state.snapshotId > work.snapshotId) return false
  return !isSameCopy || !isUnchanged
}

async function attemptCommit(
  tools: TableTools,
  work: TableWork,
  state: DestinationState,
): Promise<{ readonly kind: 'committed' | 'conflict'; readonly snapshot: DeltaSnapshot }> {
  const written: AddFile[] = []
  const quarantined: AddFile[] = []
  let actions: readonly Action[]
  try {
    await checkUnfit(tools, work)
    actions = await prepareActions(tools, work, { state, written, quarantined })
    if (work.columns.unfit === 'quarantine') await commitQuarantined(tools, work, quarantined)
  } catch (error) {
    await removeFiles(tools, written)
    throw await namedDamage(error, { ...tools, snapshot: state.snapshot })
  }
  tools.failpoints.hit('destination.before-commit')
  // Should this fail, the commit may be visible all the same: the files have to stay.
  const outcome = await tools.table.commit(state.snapshot, actions)
  if (outcome.kind === 'conflict') await removeFiles(tools, written)
  else tools.failpoints.hit('destination.after-commit')
  return { kind: outcome.kind, snapshot: outcome.snapshot }
}

/** Everything the actions name is durable when it resolves. */
async function prepareActions(
  tools: TableTools,
  planned: TableWork,
  { state, written, quarantined }: Omit<MergeInput, 'files'>,
): Promise<readonly Action[]> {
  const baseUs = baseTime(planned, state)
  const { copy } = planned
  const work =
    copy === undefined || planned.columns.kind !== 'versions'
      ? planned
      : { ...planned, copy: { ...copy, takenAtUs: baseUs } }
  const { files, loaded, replaced, hasChanges } = await baseFiles(tools, work, { state, written })
  const isAnew = work.kind === 'load' && work.history === 'replaced'
  const base = { ...state, sequenceBase: isAnew ? 0n : state.sequenceBase }
  const {
    fates,
    clockUs = baseUs,
    sequenceBase = base.sequenceBase,
  }: MergedFiles = hasChanges
    ? await mergeChanges(tools, work, { files, state: base, written, quarantined })
    : { fates: files.map((file) => ({ file, deadPositions: undefined, isGone: false })) }
  quarantined.push(...(await quarantineCopy(tools, work)))
  const isReplaced =
    work.kind === 'load' || work.evolution !== undefined || state.unfit !== work.columns.unfit
  tools.failpoints.hit('destination.data-written')
  const marked = await writeVectors(tools, fates)
  const nowMs = tools.clock.nowMs()
  const isFresh = new Set(loaded)
  const moved = new Set(fates.filter(({ isMoved }) => isMoved === true).map(({ file }) => file))
  const removes = [...replaced, ...fates.filter((fate) => isTouched(fate)).map(({ file }) => file)]
    .filter((file) => !isFresh.has(file))
    .map((file) => ({ remove: { ...removeOf(file, nowMs), dataChange: !moved.has(file) } }))
  const kept = fates.filter(({ file, isGone }) => isFresh.has(file) && !isGone)
  const adds = [
    ...marked.values(),
    ...kept.flatMap(({ file }) => (marked.has(file) ? [] : [file])),
    ...written.filter((file) => !isFresh.has(file)),
  ]
  return [
    { commitInfo: commitInfo(tools, work) },
    ...(isReplaced ? tableActions(tools, work, { ...base, sequenceBase }) : []),
    { txn: { appId: applicationId(tools.identity), version: work.target, lastUpdated: nowMs } },
    ...sealActions(tools, work),
    ...(work.columns.kind === 'versions' ? [clockAction(tools, clockUs)] : []),
    ...removes,
    ...adds.map((add) => ({ add })),
  ]
}

function sealActions({ identity, clock }: TableTools, work: TableWork): readonly Action[] {
  if (work.targetSeal === undefined) return []
  const version = sealVersion(work.target, work.targetSeal)
  return [{ txn: { appId: sealApplicationId(identity), version, lastUpdated: clock.nowMs() } }]
}

function clockAction({ identity, clock }: TableTools, clockUs: bigint): Action {
  const appId = clockApplicationId(identity)
  return { txn: { appId, version: Number(clockUs), lastUpdated: clock.nowMs() } }
}

function isTouched(fate: FileFate): boolean {
  return fate.isGone || fate.deadPositions !== undefined
}

/** The files that get a new deletion vector, with it; all vectors in one durable object. */
async function writeVectors(
  tools: TableTools,
  fates: readonly FileFate[],
): Promise<ReadonlyMap<AddFile, AddFile>> {
  const marked = fates.flatMap(({ file, deadPositions, isGone }) =>
    deadPositions === undefined || isGone ? [] : [{ file, deadPositions }],
  )
  if (marked.length === 0) return new Map()
  const descriptors = await tools.table.writeDeletionVectors(
    marked.map(({ deadPositions }) => deadPositions),
  )
  return new Map(
    marked.map(({ file }, index) => {
      const { deletionVector: _old, stats, ...rest } = file
      const deletionVector = descriptors[index]
      return [
        file,
        {
          ...rest,
          dataChange: true,
          ...(stats === undefined ? {} : { stats: withLooseBounds(stats) }),
          ...(deletionVector === undefined ? {} : { deletionVector }),
        },
      ]
    }),
  )
}

function removeOf(file: AddFile, nowMs: number): RemoveFile {
  return {
    path: file.path,
    deletionTimestamp: nowMs,
    dataChange: true,
    extendedFileMetadata: true,
    partitionValues: file.partitionValues,
    size: file.size,
    ...(file.deletionVector === undefined ? {} : { deletionVector: file.deletionVector }),
  }
}

/** protocol and metaData of the table as this load leaves it; properties people set are kept. */
function tableActions(
  { identity, clock }: TableTools,
  work: TableWork,
  { snapshot, sequenceBase }: Pick<DestinationState, 'snapshot' | 'sequenceBase'>,
): readonly Action[] {
  const { stored, kind, key } = work.columns
  const { [configurationKeys.sequenceBase]: _, ...kept } = snapshot?.metadata.configuration ?? {}
  const standard = standardTable({
    columns: stored,
    name: identity.name.split('.').at(-1) ?? identity.name,
    createdAtMs: snapshot?.metadata.createdTime ?? clock.nowMs(),
    ...(snapshot === undefined ? {} : { id: snapshot.metadata.id }),
    configuration: {
      ...kept,
      [configurationKeys.pipelineId]: identity.pipelineId,
      [configurationKeys.tableId]: identity.tableId,
      [configurationKeys.snapshotId]: String(work.snapshotId),
      [configurationKeys.snapshotPoint]: work.snapshotPoint,
      [configurationKeys.schemaVersion]: String(work.schemaVersion),
      [configurationKeys.columns]: digestColumns(stored),
      [configurationKeys.unfitValues]: work.columns.unfit,
      [configurationKeys.kind]: kind,
      [configurationKeys.key]: JSON.stringify(key),
      ...(sequenceBase === 0n ? {} : { [configurationKeys.sequenceBase]: String(sequenceBase) }),
    },
  })
  const protocol = widened(snapshot?.protocol, standard.protocol)
  return [...(protocol === undefined ? [] : [{ protocol }]), { metaData: standard.metadata }]
}

/** `present` with the features of `needed` added; undefined when it has them all. */
function widened(present: Protocol | undefined, needed: Protocol): Protocol | undefined {
  if (present === undefined) return needed
  const union = (a: readonly string[] = [], b: readonly string[] = []): string[] => [
    ...new Set([...a, ...b]),
  ]
  const readerFeatures = union(present.readerFeatures, needed.readerFeatures)
  const writerFeatures = union(present.writerFeatures, needed.writerFeatures)
  const isEnough =
    readerFeatures.length === present.readerFeatures?.length &&
    writerFeatures.length === present.writerFeatures?.length
  return isEnough ? undefined : { ...needed, readerFeatures, writerFeatures }
}

function commitInfo(tools: TableTools, work: TableWork): Readonly<Record<string, unknown>> {
  const { position, minCommitTimeUs, maxCommitTimeUs } = work.source
  return {
    operation: work.kind === 'load' ? 'WRITE' : 'MERGE',
    operationParameters:
      work.kind === 'load'
        ? { mode: 'Overwrite', snapshotId: String(work.snapshotId) }
        : { files: String(work.steps.filter((step) => step.kind === 'changes').length) },
    isBlindAppend: false,
    engineInfo: `Sluice/${tools.productVersion}`,
    sluice: {
      pipelineId: tools.identity.pipelineId,
      tableId: tools.identity.tableId,
      stagedCommit: work.target,
      sourcePosition: position,
      ...(minCommitTimeUs === undefined ? {} : { minCommitTimeUs }),
      ...(maxCommitTimeUs === undefined ? {} : { maxCommitTimeUs }),
    },
  }
}

/** Best effort: what stays behind is in no version of the table and goes with the next vacuum. */
async function removeFiles(tools: TableTools, files: readonly AddFile[]): Promise<void> {
  for (const file of files) {
    await tools.table.storage.delete(storagePathOf(tools.table, file.path)).catch(() => undefined)
  }
}

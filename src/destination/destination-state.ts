/**
 * What a destination table says about itself. All state of an ingestion is in the Delta log: the
 * owner and the copy it was loaded from in `metaData.configuration`, progress in `txn`.
 */
import { createHash } from 'node:crypto'
import { SluiceError } from '../base/errors.ts'
import type { CanonicalType } from '../columnar/canonical-type.ts'
import { mayBeUnfit, unfitPolicies } from '../columnar/unfit-policy.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { mayWriteDeletionVectors } from '../delta/protocol.ts'
import { columnsOfDeltaSchema } from '../delta/table-schema.ts'
import type { DestinationColumns, UnfitPolicy } from './destination-columns.ts'
import type { DestinationKind } from './destination-kind.ts'

/** Keys of `metaData.configuration`. */
export const configurationKeys = {
  pipelineId: 'sluice.pipelineId',
  tableId: 'sluice.tableId',
  snapshotId: 'sluice.snapshotId',
  /** Digest of `snapshot_started.point`: tells a copy from another with the same number. */
  snapshotPoint: 'sluice.snapshotPoint',
  schemaVersion: 'sluice.schemaVersion',
  /** See `DestinationKind`; absent in tables of earlier versions, which are `current`. */
  kind: 'sluice.kind',
  /** JSON list of the key columns. */
  key: 'sluice.key',
  /** What was done about values that do not fit. */
  unfitValues: 'sluice.unfitValues',
  /** `log`: see `DestinationState.sequenceBase`; absent: 0. */
  sequenceBase: 'sluice.sequenceBase',
  /** Of a quarantine: the table whose rows it holds. */
  quarantineOf: 'sluice.quarantineOf',
  /** Digest of column names and types as we wrote them: tells when somebody else changed them. */
  columns: 'sluice.columns',
} as const

/** As many staged commits apart, the seals of two manifests are not told apart by their numbers. */
const sealedCommits = 2 ** 20

/** `txn.appId` whose version tells the manifest of the applied commit from any other of its number. */
export function sealApplicationId(identity: DestinationIdentity): string {
  return `${applicationId(identity)}/manifest`
}

/** The version: of 52 bits the lower 32 are the seal, the upper ones the end of the commit's number. */
export function sealVersion(commit: number, seal: number): number {
  return (commit % sealedCommits) * 2 ** 32 + seal
}

export interface DestinationIdentity {
  readonly pipelineId: string
  readonly tableId: string
  /** `catalog.schema.table`, for messages. */
  readonly name: string
  /** What is known of other pipelines; without it no table of theirs is taken over. */
  readonly others?: OtherPipelines
}

export interface OtherPipelines {
  /** As people call the pipeline; undefined: it is not deployed here. */
  keyOf(pipelineId: string): string | undefined
  /** Whether the pipeline gave up the table, `catalog.schema.table`, so that it may be taken over. */
  isReleased(pipelineId: string, name: string): boolean
}

/** Whether the pipeline may write to what `owner` made: its own, or what that one gave up. */
export function mayWrite(
  { pipelineId, name, others }: Pick<DestinationIdentity, 'pipelineId' | 'name' | 'others'>,
  owner: string,
): boolean {
  return owner === pipelineId || others?.isReleased(owner, name) === true
}

function tableTaken({ pipelineId, name, others }: DestinationIdentity, owner: string): SluiceError {
  const key = others?.keyOf(owner)
  const own = others?.keyOf(pipelineId)
  const elsewhere = 'Choose another destination_table or destination_schema for one of the two.'
  const remedy =
    key === undefined
      ? `${elsewhere} It may be written from another data folder; if nobody writes it any more, move its folder away.`
      : `${elsewhere} To hand the table over: take it out of ${key} in the file, or all of ${key}. Run: sluice remove ${key} --yes ; the next run loads the table anew for ${own ?? 'this pipeline'}.`
  const whose = key === undefined ? `${owner}, which is not deployed here` : key
  const text = `${name} belongs to the pipeline ${whose}${own === undefined ? '' : `, not to ${own}`}`
  return new SluiceError('DESTINATION_TABLE_TAKEN', text, { remedy })
}

export interface DestinationState {
  /** undefined: there is no table yet. */
  readonly snapshot: DeltaSnapshot | undefined
  /** Staged commit the table is applied up to; undefined: it is to be loaded. */
  readonly applied: number | undefined
  /** Staged commit that the pipeline which gave it up had applied, by the log that it read. */
  readonly reached: number | undefined
  /** Of its manifest, see `StagingReader.sealOf`; undefined where an earlier version applied it. */
  readonly appliedSeal: number | undefined
  readonly snapshotId: number | undefined
  readonly snapshotPoint: string | undefined
  readonly columns: string | undefined
  /** Of the staged schema that its columns were chosen from. */
  readonly schemaVersion: number | undefined
  /** What the table's rows are, also when it is to be loaded anew; undefined: there is no table. */
  readonly kind: DestinationKind | undefined
  /** Of the rows it holds now; empty when they have none, or it is not known. */
  readonly key: readonly string[]
  /** `versions`: no version begins or ends after this time, microseconds since 1970. */
  readonly clockUs: bigint
  /** `log`: what is added to staged sequences, which begin anew with a staging volume. */
  readonly sequenceBase: bigint
  /** `fail` also where nothing was recorded. */
  readonly unfit: UnfitPolicy
}

/** What `metaData.configuration` says of the table's rows. */
export function rowsOfConfiguration(configuration: Readonly<Record<string, string>>): {
  readonly kind: DestinationKind
  readonly key: readonly string[]
  readonly sequenceBase: bigint
} {
  const text = configuration[configurationKeys.kind]
  return {
    kind: kinds.find((kind) => kind === text) ?? 'current',
    key: JSON.parse(configuration[configurationKeys.key] ?? '[]') as readonly string[],
    sequenceBase: BigInt(configuration[configurationKeys.sequenceBase] ?? 0),
  }
}

const kinds: readonly DestinationKind[] = ['current', 'multiset', 'versions', 'log']

/** `txn.appId` whose version is `clockUs`: it outlives the source table it came from. */
export function clockApplicationId({ pipelineId }: DestinationIdentity): string {
  return `sluice/${pipelineId}/clock`
}

/** `txn.appId` of a (pipeline, table). */
export function applicationId({
  pipelineId,
  tableId,
}: Pick<DestinationIdentity, 'pipelineId' | 'tableId'>): string {
  return `sluice/${pipelineId}/${tableId}`
}

/**
 * Throws DESTINATION_FOREIGN_TABLE, DESTINATION_TABLE_TAKEN and DESTINATION_CHANGED_BY_OTHERS. A
 * table that this pipeline filled from an earlier source table of the same name, or that a removed
 * pipeline gave up, is to be loaded.
 */
export function destinationState(
  snapshot: DeltaSnapshot | undefined,
  identity: DestinationIdentity,
): DestinationState {
  const nothing = {
    applied: undefined,
    reached: undefined,
    appliedSeal: undefined,
    snapshotId: undefined,
    snapshotPoint: undefined,
    schemaVersion: undefined,
    columns: undefined,
    unfit: 'fail',
  } as const
  if (snapshot === undefined) {
    return { snapshot, ...nothing, kind: undefined, key: [], clockUs: 0n, sequenceBase: 0n }
  }
  const { configuration } = snapshot.metadata
  const owner = configuration[configurationKeys.pipelineId]
  if (owner === undefined) {
    const text = `${identity.name} already is a Delta table that Sluice did not make`
    throw new SluiceError('DESTINATION_FOREIGN_TABLE', text)
  }
  if (!mayWrite(identity, owner)) throw tableTaken(identity, owner)
  const columns = configuration[configurationKeys.columns]
  assertUnchanged(snapshot, identity, columns)
  const rows = {
    ...rowsOfConfiguration(configuration),
    // A history that is taken over goes on behind what its owner wrote.
    clockUs: BigInt(
      snapshot.txnVersions.get(clockApplicationId({ ...identity, pipelineId: owner })) ?? 0,
    ),
  }
  const isOwn = owner === identity.pipelineId
  if (configuration[configurationKeys.tableId] !== identity.tableId) {
    return { snapshot, ...nothing, ...rows }
  }
  if (!isOwn) {
    const reached = snapshot.txnVersions.get(applicationId({ ...identity, pipelineId: owner }))
    return { snapshot, ...nothing, ...rows, reached }
  }
  const applied = snapshot.txnVersions.get(applicationId(identity))
  const sealed = snapshot.txnVersions.get(sealApplicationId(identity))
  return {
    snapshot,
    ...rows,
    applied,
    reached: undefined,
    appliedSeal: applied === undefined ? undefined : sealOfVersion(applied, sealed),
    snapshotId: Number(configuration[configurationKeys.snapshotId]),
    snapshotPoint: configuration[configurationKeys.snapshotPoint],
    columns,
    schemaVersion: Number(configuration[configurationKeys.schemaVersion]),
    unfit: unfitPolicyOf(snapshot),
  }
}

/** undefined when it is of another commit: the one after it was applied by an earlier version. */
function sealOfVersion(commit: number, version: number | undefined): number | undefined {
  if (version === undefined) return undefined
  const seal = version % 2 ** 32
  return sealVersion(commit, seal) === version ? seal : undefined
}

/** By which values in the table that its types can not hold were handled. */
export function unfitPolicyOf({ metadata }: DeltaSnapshot): UnfitPolicy {
  const text = metadata.configuration[configurationKeys.unfitValues]
  return unfitPolicies.find((policy) => policy === text) ?? 'fail'
}

/** Whether what the table holds is what `columns` would have made of it. */
export function isSameShape(
  state: DestinationState,
  { kind, stored, unfit }: Pick<DestinationColumns, 'kind' | 'stored' | 'unfit'>,
): boolean {
  // Nothing that does not fit gets past `fail`: any other policy goes on from there.
  const isSamePolicy =
    state.unfit === 'fail' || state.unfit === unfit || !stored.some((column) => mayBeUnfit(column))
  return state.kind === kind && state.columns === digestColumns(stored) && isSamePolicy
}

function assertUnchanged(
  snapshot: DeltaSnapshot,
  identity: DestinationIdentity,
  columns: string | undefined,
): void {
  const { metadata, protocol } = snapshot
  const found = digestColumns(columnsOfDeltaSchema(metadata.schemaString))
  const what =
    found !== columns
      ? 'the columns'
      : !mayWriteDeletionVectors(protocol, metadata)
        ? 'delta.enableDeletionVectors'
        : metadata.partitionColumns.length > 0
          ? 'the partitioning'
          : undefined
  if (what === undefined) return
  const text = `somebody else changed ${what} of ${identity.name}`
  throw new SluiceError('DESTINATION_CHANGED_BY_OTHERS', text)
}

/** Same digest: same names and types in the same order. */
export function digestColumns(
  columns: readonly { readonly name: string; readonly type: CanonicalType }[],
): string {
  return digest(JSON.stringify(columns.map(({ name, type }) => [name, typeText(type)])))
}

function typeText(type: CanonicalType): string {
  if (type.kind === 'array') return `array ${typeText(type.element)}`
  return type.kind === 'decimal' ? `decimal ${type.precision} ${type.scale}` : type.kind
}

export function digestPoint(point: string): string {
  return digest(point)
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

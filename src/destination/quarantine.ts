/**
 * Rows that do not fit, in a Delta table beside the destination: one row per cell that does not fit,
 * and one per row whose cells are not known because the row before it is in quarantine. It is
 * written before the destination: what is not in the one is in the other.
 */
import { SluiceError } from '../base/errors.ts'
import type { Action, AddFile } from '../delta/actions.ts'
import type { DeltaSnapshot } from '../delta/delta-table.ts'
import { standardTable } from '../delta/standard-table.ts'
import type { DeltaColumn } from '../delta/table-schema.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier, quoteText } from '../engine/quote.ts'
import type { DestinationColumns } from './destination-columns.ts'
import {
  applicationId,
  configurationKeys,
  mayWrite,
  type DestinationIdentity,
} from './destination-state.ts'
import { keepsHistory } from './destination-kind.ts'
import { unknownTable } from './fill-absent.ts'
import { changesTable, orderColumn } from './reduce-changes.ts'
import { afterSql, stagedChanges, stagedHistory } from './staged-changes.ts'
import { stagedGroups } from './staged-groups.ts'
import {
  chosenOrdinals,
  quarantinedColumn,
  stagedScanSql,
  type StagedFiles,
} from './staged-projection.ts'
import { copyGroups } from './superseded-rows.ts'
import type { SessionTools, TableTools, TableWork } from './table-work.ts'
import { sourceTextSql, unfitTextSql } from './unfit-sql.ts'
import { mayBeUnfit } from '../columnar/unfit-policy.ts'
import { writeDataFiles } from './write-data-file.ts'

/** Name of the table of rows that do not fit into the table `name`. */
export function quarantineName(name: string): string {
  return `${name}__quarantine`
}

/** `reason` of a change that would fit, but does not bring the row whole. */
export const keepsCellsReason = 'keeps cells of a row in quarantine'

const quarantineColumns: readonly DeltaColumn[] = [
  /** JSON object of the key columns, as the source writes them where they do not fit. */
  { name: 'key', type: { kind: 'string' } },
  { name: 'column', type: { kind: 'string' } },
  { name: 'text', type: { kind: 'string' } },
  { name: 'op', type: { kind: 'string' } },
  { name: 'sequence', type: { kind: 'int64' } },
  { name: 'ordinal', type: { kind: 'int32' } },
  { name: 'commit_time', type: { kind: 'timestamp' } },
  { name: 'reason', type: { kind: 'string' } },
]

/** Query of one row per unfit cell of `group`, which has an `_unfit` column. */
function unfitCellsSql(
  group: StagedFiles,
  columns: DestinationColumns,
  options: { readonly kind: 'snapshot' | 'changes'; readonly where?: string },
): string {
  const { schema } = group
  const ordinals = chosenOrdinals(schema, columns)
  const keys = chosenOrdinals(schema, columns, 'key')
  const ordinal = `split_part(__sluice_cell, ':', 1)::INTEGER`
  const caseOf = (textOf: (ordinal: number) => string): string =>
    `CASE ${ordinal} ${ordinals.map((n) => `WHEN ${n} THEN ${quoteText(textOf(n))}`).join(' ')} END`
  const isSnapshot = options.kind === 'snapshot'
  const at = isSnapshot
    ? `'r' AS op, NULL::BIGINT AS sequence, NULL::INTEGER AS ordinal, NULL::TIMESTAMPTZ AS commit_time`
    : '_op AS op, _seq AS sequence, _ord AS ordinal, _commit_ts AS commit_time'
  const conditions = [`${ordinal} IN (${ordinals.join(', ')})`]
  // A delete is by its key; the rest of the old row is of no use to anybody.
  if (!isSnapshot) conditions.push(`(_op <> 'd' OR ${ordinal} IN (${[...keys, -1].join(', ')}))`)
  if (options.where !== undefined) conditions.push(`(${options.where})`)
  return `SELECT ${keyJson(group, columns)} AS key, ${caseOf((n) => schema.columns[n]?.name ?? '')} AS "column",
      substr(__sluice_cell, strpos(__sluice_cell, ':') + 1) AS text, ${at},
      'does not fit ' || ${caseOf((n) => schema.columns[n]?.type.kind ?? '')} AS reason
    FROM (SELECT *, unnest(_unfit) AS __sluice_cell FROM ${stagedScanSql(group)})
    WHERE ${conditions.join(' AND ')}`
}

function keyJson({ schema }: StagedFiles, columns: DestinationColumns): string {
  const members = columns.key.map((name) => {
    const ordinal = schema.columns.findIndex((column) => column.name === name)
    const column = schema.columns[ordinal]
    const cell = quoteIdentifier(name)
    const text =
      column !== undefined && mayBeUnfit(column)
        ? `coalesce(${unfitTextSql(ordinal)}, ${sourceTextSql(cell, column.type)})`
        : cell
    return `${quoteText(name)}: ${text}`
  })
  return members.length === 0 ? 'NULL::VARCHAR' : `to_json({${members.join(', ')}})::VARCHAR`
}

/** Files of the rows of a copy that do not fit. */
export async function quarantineCopy(
  tools: TableTools,
  work: TableWork,
): Promise<readonly AddFile[]> {
  const { columns, chunks, steps } = work
  if (columns.unfit !== 'quarantine') return []
  if (!keepsHistory(columns.kind) && stagedChanges(steps).after !== undefined) return []
  if (!chunks.some(({ files }) => files.some((file) => file.unfit_cells !== undefined))) return []
  const session = await tools.engine.openSession()
  try {
    const groups = await copyGroups(session, tools, work)
    const selects = groups.flatMap(({ group, ...where }) =>
      group.hasUnfit ? [unfitCellsSql(group, columns, { kind: 'snapshot', ...where })] : [],
    )
    return await writeQuarantined({ ...tools, engine: session }, selects)
  } finally {
    session.close()
  }
}

/** Files of the changes that do not fit and are not in quarantine yet; after they were merged. */
export async function quarantineChanges(
  tools: SessionTools,
  work: TableWork,
): Promise<readonly AddFile[]> {
  const { columns, steps } = work
  if (columns.unfit !== 'quarantine') return []
  const { after, files, absentPaths, firstSequence } = stagedChanges(
    keepsHistory(columns.kind) ? steps.filter(({ kind }) => kind === 'changes') : steps,
  )
  const upTo = await quarantinedUpTo(tools, work)
  const where = `${upTo === undefined ? 'true' : `_seq > ${upTo}`} AND ${afterSql(after)}`
  const selects = stagedGroups(tools, work, files, absentPaths)
    .filter((group) => group.hasUnfit)
    .map((group) => unfitCellsSql(group, columns, { kind: 'changes', where }))
  const [unknown] = await tools.engine.rows(
    `SELECT 1 FROM duckdb_tables() WHERE table_name = '${unknownTable}'`,
  )
  if (unknown !== undefined) {
    const first = keepsHistory(columns.kind) ? stagedHistory(steps).firstSequence : firstSequence
    const rows = unknownRowsSql(columns, first)
    selects.push(upTo === undefined ? rows : `SELECT * FROM (${rows}) WHERE sequence > ${upTo}`)
  }
  return await writeQuarantined(tools, selects)
}

/** Query of the changes in `unknownTable` that would fit. */
function unknownRowsSql(columns: DestinationColumns, firstSequence: bigint): string {
  const members = columns.key.map((name) => `${quoteText(name)}: ${quoteIdentifier(name)}`)
  return `SELECT to_json({${members.join(', ')}})::VARCHAR AS key, NULL::VARCHAR AS "column",
      NULL::VARCHAR AS text, _op AS op, (${orderColumn} // 4294967296) + ${firstSequence} AS sequence,
      (${orderColumn} % 4294967296)::INTEGER AS ordinal, NULL::TIMESTAMPTZ AS commit_time,
      ${quoteText(keepsCellsReason)} AS reason
    FROM ${changesTable} SEMI JOIN ${unknownTable} USING (${orderColumn})
    WHERE NOT ${quarantinedColumn}`
}

/** Durable files of the rows of `selects`, in the quarantine's folder; none when there are no rows. */
async function writeQuarantined(
  tools: Pick<TableTools, 'clock' | 'quarantine'> & { readonly engine: EngineStatements },
  selects: readonly string[],
): Promise<readonly AddFile[]> {
  if (selects.length === 0) return []
  const { engine, clock, quarantine } = tools
  return await writeDataFiles(
    { engine, clock, table: quarantine, columns: quarantineColumns },
    `SELECT ${quarantineColumns.map(({ name }) => `"${name}"`).join(', ')}
      FROM (${selects.join(' UNION ALL ')})`,
    false,
  )
}

/** Changes up to this sequence are in quarantine already, if they are to be; undefined: none. */
async function quarantinedUpTo(
  tools: Pick<TableTools, 'quarantine' | 'identity'>,
  work: TableWork,
): Promise<number | undefined> {
  if (work.kind === 'load') return undefined
  const snapshot = ownSnapshot(await tools.quarantine.snapshot(), tools.identity)
  return snapshot?.txnVersions.get(quarantineApplication(tools.identity))
}

/**
 * Adds `files` to the quarantine; for a load they replace what it holds. An update that was cut off
 * behind it finds its rows there (`quarantinedUpTo`) and adds none twice.
 */
export async function commitQuarantined(
  tools: TableTools,
  work: TableWork,
  files: readonly AddFile[],
): Promise<void> {
  for (;;) {
    const snapshot = ownSnapshot(await tools.quarantine.snapshot(), tools.identity)
    const now = tools.clock.nowMs()
    const removed = work.kind === 'load' ? removals(snapshot, now) : []
    if (files.length === 0 && removed.length === 0) return
    const last = work.steps.reduce(
      (most, step) =>
        step.kind === 'schema_change'
          ? most
          : Math.max(most, Number(step.kind === 'changes' ? step.max_sequence : step.sequence)),
      -1,
    )
    const { protocol, metadata } = quarantineTable(tools)
    const outcome = await tools.quarantine.commit(snapshot, [
      {
        commitInfo: {
          operation: 'WRITE',
          operationParameters: { mode: work.kind === 'load' ? 'Overwrite' : 'Append' },
          engineInfo: `Sluice/${tools.productVersion}`,
        },
      },
      ...(snapshot === undefined ? [{ protocol }, { metaData: metadata }] : []),
      ...takenOver(snapshot, tools.identity),
      { txn: { appId: quarantineApplication(tools.identity), version: last, lastUpdated: now } },
      ...removed,
      ...files.map((add) => ({ add })),
    ])
    if (outcome.kind === 'committed') return
  }
}

/** The metadata of a quarantine that another pipeline gave up, with its new owner. */
function takenOver(
  snapshot: DeltaSnapshot | undefined,
  { pipelineId }: DestinationIdentity,
): readonly Action[] {
  if (snapshot === undefined) return []
  const { metadata } = snapshot
  if (metadata.configuration[configurationKeys.pipelineId] === pipelineId) return []
  const configuration = { ...metadata.configuration, [configurationKeys.pipelineId]: pipelineId }
  return [{ metaData: { ...metadata, configuration } }]
}

/**
 * Empties the quarantine of a destination that has none any more; for when the rows it held are in
 * the destination. One that is not ours is left alone.
 */
export async function emptyQuarantine(
  tools: Pick<TableTools, 'quarantine' | 'identity' | 'clock' | 'productVersion'>,
): Promise<void> {
  for (;;) {
    const snapshot = await tools.quarantine.snapshot()
    if (snapshot === undefined || !isQuarantineOf(snapshot, tools.identity)) return
    if (snapshot.files.size === 0) return
    const outcome = await tools.quarantine.commit(snapshot, [
      {
        commitInfo: {
          operation: 'DELETE',
          operationParameters: {},
          engineInfo: `Sluice/${tools.productVersion}`,
        },
      },
      ...removals(snapshot, tools.clock.nowMs()),
    ])
    if (outcome.kind === 'committed') return
  }
}

function removals(snapshot: DeltaSnapshot | undefined, nowMs: number): readonly Action[] {
  return [...(snapshot?.files.values() ?? [])].map(({ path, size, partitionValues }) => ({
    remove: { path, size, partitionValues, deletionTimestamp: nowMs, dataChange: true },
  }))
}

function quarantineTable(tools: TableTools): ReturnType<typeof standardTable> {
  return standardTable({
    columns: quarantineColumns,
    name: quarantineName(tools.identity.name.split('.').at(-1) ?? ''),
    createdAtMs: tools.clock.nowMs(),
    configuration: {
      [configurationKeys.pipelineId]: tools.identity.pipelineId,
      [configurationKeys.quarantineOf]: tools.identity.name,
    },
  })
}

function quarantineApplication(identity: DestinationIdentity): string {
  return `${applicationId(identity)}/quarantine`
}

/** Throws DESTINATION_FOREIGN_TABLE when somebody else's table has the name. */
function ownSnapshot(
  snapshot: DeltaSnapshot | undefined,
  identity: DestinationIdentity,
): DeltaSnapshot | undefined {
  if (snapshot === undefined || isQuarantineOf(snapshot, identity)) return snapshot
  const text = `${quarantineName(identity.name)}, where rows that do not fit would go, is another table`
  throw new SluiceError('DESTINATION_FOREIGN_TABLE', text)
}

/** Whether the table holds what did not fit into that destination. */
export function isQuarantineOf(
  { metadata: { configuration } }: DeltaSnapshot,
  identity: Pick<DestinationIdentity, 'pipelineId' | 'name' | 'others'>,
): boolean {
  const owner = configuration[configurationKeys.pipelineId]
  return (
    owner !== undefined &&
    mayWrite(identity, owner) &&
    configuration[configurationKeys.quarantineOf] === identity.name
  )
}

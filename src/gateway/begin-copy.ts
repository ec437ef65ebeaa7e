/**
 * The begin of a copy, which has to fit exactly into the stream: every transaction the stream
 * delivered while nobody followed the table must be shown by the copy, and every later one is
 * either shown by it (and filtered by its point) or kept.
 */
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError, hasCode, SluiceError } from '../base/errors.ts'
import type { Log } from '../observe/log.ts'
import type { Source, TableSnapshot } from '../source/source.ts'
import type { SourceTable } from '../source/table-schema.ts'
import type { ManifestEntry, TableEntry } from '../staging/manifest.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { clashingColumn } from './change-columns.ts'
import { CopyBoundary } from './copy-boundary.ts'
import { CopyLedger } from './copy-ledger.ts'
import { CopyPoints } from './copy-points.ts'
import type { DeliveredTransactions } from './delivered-transactions.ts'
import type { FollowedTable } from './followed-table.ts'
import { nameOf } from './followed-tables.ts'
import type { Progress } from './progress.ts'
import { isSameRecord } from './same-schema.ts'
import type { StreamGate } from './stream-gate.ts'
import { TableCopy } from './table-copy.ts'

export interface BeginCopyOptions {
  readonly source: Source
  readonly staging: StagingLog
  readonly progress: Progress
  readonly gate: StreamGate
  readonly delivered: DeliveredTransactions
  readonly clock: SteadyClock
  readonly log: Log
  readonly describe: (table: FollowedTable) => Promise<SourceTable | undefined>
  /** Aborted: the copy is not wanted any more. */
  readonly signal: AbortSignal
}

/** undefined when the table stopped waiting for a copy meanwhile; throws when it can not be begun. */
export async function beginCopy(
  table: FollowedTable,
  options: BeginCopyOptions,
): Promise<TableCopy | undefined> {
  const { gate, delivered, log } = options
  const described = table.mustDescribe ? await options.describe(table) : table.table
  if (described === undefined) throw tableGone(nameOf(table.table))
  expectNoClash(described)
  const isNewSchema =
    table.recordedSchema === undefined || !isSameRecord(table.recordedSchema, described.schema)
  const schemaVersion = isNewSchema
    ? await writeNextSchema(described, table.schemaVersion + 1, options.staging)
    : table.schemaVersion
  const boundary = new CopyBoundary(gate, delivered)
  try {
    const plan = { table, described, schemaVersion, isNewSchema }
    const copy = await beginAtBoundary(plan, boundary, options)
    if (copy === undefined) return undefined
    const fields = { table: nameOf(described), snapshotId: copy.snapshotId }
    log.info('copy begun', { ...fields, chunks: copy.snapshot.chunks.length })
    return copy
  } finally {
    boundary.give()
  }
}

/** A version that an earlier gateway wrote, but never put on record, may hold another schema. */
export async function writeNextSchema(
  table: SourceTable,
  firstVersion: number,
  staging: Pick<StagingLog, 'writeSchema'>,
): Promise<number> {
  for (let version = firstVersion; ; version++) {
    try {
      await staging.writeSchema(table.id, version, table.schema)
      return version
    } catch (error) {
      if (!hasCode(error, 'STAGING_SCHEMA_CONFLICT')) throw error
    }
  }
}

interface Plan {
  readonly table: FollowedTable
  readonly described: SourceTable
  readonly schemaVersion: number
  readonly isNewSchema: boolean
}

async function beginAtBoundary(
  plan: Plan,
  boundary: CopyBoundary,
  { source, progress, log, clock, signal }: BeginCopyOptions,
): Promise<TableCopy | undefined> {
  const { table, described, schemaVersion } = plan
  const asked = { delivered: [], stream: boundary, signal }
  const snapshot = await source.beginSnapshot(described, asked)
  try {
    const point = source.parseSnapshotPoint(snapshot.point)
    const isExact = (): boolean => boundary.isExact(point)
    if (!isExact()) throw overtaken(described)
    if (table.state === 'pending') {
      await progress.publish({ entries: startEntries(plan, snapshot) })
      // On record, so it counts, even if the copy is not to be.
      if (table.state !== 'pending' || !isExact()) {
        table.noteRecord(described, schemaVersion)
        if (table.state === 'pending') throw overtaken(described)
      } else {
        const ledger = new CopyLedger({
          schemaVersion,
          points: [snapshot.point],
          nextNumber: snapshot.chunks.length,
        })
        table.beginCopy(described, schemaVersion, { points: CopyPoints.of([point]), ledger })
        return new TableCopy(table, snapshot, clock.elapsedMs())
      }
    }
  } catch (error) {
    await closeQuietly(snapshot, log)
    throw error
  }
  await closeQuietly(snapshot, log)
  return undefined
}

function startEntries(plan: Plan, snapshot: TableSnapshot): ManifestEntry[] {
  const { table, described, schemaVersion, isNewSchema } = plan
  const started: ManifestEntry = {
    kind: 'snapshot_started',
    table_id: described.id,
    snapshot_id: table.snapshotId + 1,
    schema_version: schemaVersion,
    point: snapshot.point,
    chunk_count: snapshot.chunks.length,
    ...takenAt(snapshot),
    ...(described.estimatedRows === undefined ? {} : { estimated_rows: described.estimatedRows }),
  }
  if (!isNewSchema && table.recordedName === nameOf(described)) return [started]
  return [tableEntry(described, schemaVersion), started]
}

/** The field of the entry that a copy begins, or goes on, with. */
export function takenAt({ takenAtUs }: TableSnapshot): { readonly taken_at_us?: string } {
  return takenAtUs === undefined ? {} : { taken_at_us: takenAtUs.toString() }
}

export function tableEntry(table: SourceTable, schemaVersion: number): TableEntry {
  const { catalog, schema, table: name } = table.name
  return {
    kind: 'table',
    table_id: table.id,
    ...(catalog === undefined ? {} : { source_catalog: catalog }),
    source_schema: schema,
    source_table: name,
    schema_version: schemaVersion,
  }
}

export async function closeQuietly(snapshot: TableSnapshot, log: Log): Promise<void> {
  await snapshot.close().catch((error: unknown) => {
    log.debug(`closing a snapshot failed: ${asSluiceError(error).message}`)
  })
}

export function tableGone(name: string): SluiceError {
  return new SluiceError(
    'GATEWAY_TABLE_GONE',
    `table ${name} is no longer in the source as a table of its own, or not visible to the gateway's user`,
  )
}

/** Throws GATEWAY_COLUMN_CLASH. */
export function expectNoClash(table: Pick<SourceTable, 'name' | 'schema'>): void {
  const column = clashingColumn(table.schema)
  if (column === undefined) return
  throw new SluiceError(
    'GATEWAY_COLUMN_CLASH',
    `table ${nameOf(table)} has a column "${column}", a name that staged changes use themselves`,
  )
}

export function overtaken(table: SourceTable): SluiceError {
  return new SluiceError(
    'GATEWAY_COPY_OVERTAKEN',
    `the stream went on while a copy of ${nameOf(table)} was begun`,
  )
}

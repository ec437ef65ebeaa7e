/**
 * A copy that was cut off goes on: what is left of it is read under a newer point. The table has been
 * followed all the while, so nothing of the stream is missing; from the moment the new point is set,
 * every transaction is judged by it, and it shows every transaction that came before.
 */
import { asSluiceError } from '../base/errors.ts'
import type { TableSnapshot } from '../source/source.ts'
import type { SourceTable } from '../source/table-schema.ts'
import type { ManifestEntry } from '../staging/manifest.ts'
import { type BeginCopyOptions, closeQuietly, overtaken, tableGone, takenAt } from './begin-copy.ts'
import { CopyBoundary } from './copy-boundary.ts'
import type { CopyLedger } from './copy-ledger.ts'
import type { FollowedTable } from './followed-table.ts'
import { nameOf } from './followed-tables.ts'
import { TableCopy } from './table-copy.ts'

export type ResumeOutcome =
  | { readonly kind: 'resumed'; readonly copy: TableCopy }
  /** The table has to be copied from its beginning. */
  | { readonly kind: 'refused'; readonly reason: string; readonly table: SourceTable | undefined }
  /** The table stopped waiting for it meanwhile. */
  | { readonly kind: 'forgotten' }

/** Throws when it can not be resumed now. */
export async function resumeCopy(
  table: FollowedTable,
  ledger: CopyLedger,
  options: BeginCopyOptions,
): Promise<ResumeOutcome> {
  const { source, gate, delivered, log, signal } = options
  const described = await options.describe(table)
  if (described === undefined) throw tableGone(nameOf(table.table))
  if (ledger.schemaVersion !== table.schemaVersion || !table.hasSchema(described.schema)) {
    return { kind: 'refused', reason: 'the table has a new schema', table: described }
  }
  const boundary = new CopyBoundary(gate, delivered)
  try {
    const asked = { delivered: [], stream: boundary, signal }
    // The staged schema, not the present one: it is what the chunks so far were read with.
    const staged = { ...described, schema: table.table.schema }
    const outcome = await source.resumeSnapshot(staged, ledger.copy, asked)
    if (outcome.kind === 'refused') return { ...outcome, table: described }
    const { snapshot } = outcome
    if (table.state !== 'snapshotting' || table.ledger !== ledger) {
      await closeQuietly(snapshot, log)
      return { kind: 'forgotten' }
    }
    const point = source.parseSnapshotPoint(snapshot.point)
    if (!boundary.isExact(point)) {
      await closeQuietly(snapshot, log)
      throw overtaken(described)
    }
    // In one turn: what is staged after this is judged by the new point, and stands after its entry.
    const entries = [...ledger.takeEntries(), resumedEntry(table, ledger, snapshot)]
    table.setPoints(table.points.and(point))
    table.problem = undefined
    ledger.resume(snapshot.point, snapshot.chunks.length)
    const copy = new TableCopy(table, snapshot, options.clock.elapsedMs())
    try {
      await options.progress.publish({ entries })
    } catch (error) {
      await closeQuietly(snapshot, log)
      throw asSluiceError(error)
    }
    const fields = { table: nameOf(described), snapshotId: copy.snapshotId }
    log.info('copy resumed', { ...fields, chunks: snapshot.chunks.length })
    return { kind: 'resumed', copy }
  } finally {
    boundary.give()
  }
}

function resumedEntry(
  table: FollowedTable,
  ledger: CopyLedger,
  snapshot: TableSnapshot,
): ManifestEntry {
  return {
    kind: 'snapshot_resumed',
    table_id: table.table.id,
    snapshot_id: table.snapshotId,
    resumption: ledger.resumption + 1,
    point: snapshot.point,
    first_chunk: ledger.nextNumber,
    chunk_count: snapshot.chunks.length,
    ...takenAt(snapshot),
  }
}

/** Decides where the log begins after a purge, and what has to be remembered of what went. */
import type { BaseTable, LogBase } from './log-base.ts'
import type { CommitNumber, Manifest, ManifestEntry } from './manifest.ts'
import type { LogContent } from './read-log.ts'

/** A copy of a table, as commit numbers; undefined where the log does not say. */
interface SnapshotSpan {
  readonly tableId: string
  readonly started: CommitNumber
  finished: CommitNumber | undefined
  /** A later copy or a gap made it pointless to finish this one. */
  isGivenUp: boolean
}

/**
 * The greatest commit number at which the log may begin so that
 * - only manifests written before `olderThanMs` go, and the newest one stays;
 * - a copy of a table stays whole or goes whole, and stays while it is being made.
 */
export function planFirstCommit(content: LogContent, olderThanMs: number): CommitNumber {
  const { manifests } = content
  const firstYoung = manifests.findIndex((manifest) => manifest.created_at_ms >= olderThanMs)
  const kept = firstYoung === -1 ? manifests.length - 1 : firstYoung
  let first = manifests[kept]?.commit ?? content.base.first
  // From the newest on: moving the front back may cut an older copy, never a newer one again.
  for (const span of snapshotSpans(manifests).toReversed()) {
    const isOpen = span.finished === undefined && !span.isGivenUp
    const endsAfter = isOpen || (span.finished !== undefined && span.finished >= first)
    if (span.started < first && endsAfter) first = span.started
  }
  return first
}

/** Ascending by start. */
function snapshotSpans(manifests: readonly Manifest[]): SnapshotSpan[] {
  const spans: SnapshotSpan[] = []
  const newest = new Map<string, SnapshotSpan>()
  for (const { commit, entries } of manifests) {
    for (const entry of entries) {
      const span = newest.get(entry.table_id)
      if (entry.kind === 'snapshot_started') {
        if (span !== undefined) span.isGivenUp = true
        const started: SnapshotSpan = {
          tableId: entry.table_id,
          started: commit,
          finished: undefined,
          isGivenUp: false,
        }
        newest.set(entry.table_id, started)
        spans.push(started)
      } else if (span !== undefined && entry.kind === 'snapshot_finished') span.finished = commit
      else if (span !== undefined && entry.kind === 'gap') span.isGivenUp = true
    }
  }
  return spans
}

/** The base of a log that begins at `first`: the present base and what the purged manifests add. */
export function baseAt(content: LogContent, first: CommitNumber): LogBase {
  const tables = new Map(content.base.tables.map((table) => [table.table_id, table]))
  let { last_sequence: lastSequence, incarnation } = content.base
  for (const manifest of content.manifests) {
    if (manifest.commit >= first) break
    lastSequence = manifest.last_sequence ?? lastSequence
    incarnation = manifest.incarnation
    for (const entry of manifest.entries) {
      tables.set(entry.table_id, foldEntry(tables.get(entry.table_id), entry, manifest.commit))
    }
  }
  return {
    first,
    ...(lastSequence === undefined ? {} : { last_sequence: lastSequence }),
    ...(incarnation === undefined ? {} : { incarnation }),
    tables: [...tables.values()].toSorted((a, b) => (a.table_id < b.table_id ? -1 : 1)),
  }
}

function foldEntry(
  table: BaseTable | undefined,
  entry: ManifestEntry,
  commit: CommitNumber,
): BaseTable {
  const entries = table?.entries ?? []
  const head = { table_id: entry.table_id, last_commit: commit }
  switch (entry.kind) {
    case 'table':
      // A name alone is no data: nobody loses anything when only this is purged.
      return {
        table_id: entry.table_id,
        last_commit: table?.last_commit ?? commit,
        entries: [...entries.filter(({ kind }) => kind !== 'table'), entry],
      }
    case 'snapshot_started':
      // A new copy supersedes whatever was known of the one before.
      return { ...head, entries: [...entries.filter(({ kind }) => kind === 'table'), entry] }
    case 'snapshot_finished':
    case 'gap':
      return { ...head, entries: [...entries.filter(({ kind }) => kind !== entry.kind), entry] }
    case 'snapshot_resumed':
    case 'snapshot_chunk':
    case 'changes':
    case 'truncate':
    // The schema's version is in the `table` entry beside it.
    case 'schema_change':
      return { ...head, entries }
    default:
      return entry satisfies never
  }
}

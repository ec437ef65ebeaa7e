/** What the staging log says about each table, gathered manifest by manifest. */
import { groupBy } from './group-by.ts'
import type { SourceTableName } from '../source/table-schema.ts'
import type { LogBase } from '../staging/log-base.ts'
import type {
  ChangesEntry,
  CommitNumber,
  GapEntry,
  Manifest,
  ManifestEntry,
  SchemaChangeEntry,
  SnapshotChunkEntry,
  SnapshotResumedEntry,
  SnapshotStartedEntry,
  TruncateEntry,
} from '../staging/manifest.ts'

/** One copy of a table and what was staged on top of it. */
export interface StagedSnapshot {
  readonly started: SnapshotStartedEntry
  /** undefined: the entry was purged, and the files before `LogBase.first` with it. */
  readonly startedAt: CommitNumber | undefined
  /** The newest time it went on after it had been cut off; undefined: it never was. */
  resumed: SnapshotResumedEntry | undefined
  resumedAt: CommitNumber | undefined
  /** By chunk number; a chunk staged again replaces the earlier one. */
  readonly chunks: Map<number, SnapshotChunkEntry>
  /** Ascending by commit, inside a commit as the manifest lists them. */
  readonly steps: StagedStep[]
  finishedAt: CommitNumber | undefined
  /** A gap came after it began: nothing staged later counts for it. */
  isVoid: boolean
}

export interface StagedStep {
  readonly commit: CommitNumber
  readonly entry: ChangesEntry | TruncateEntry | SchemaChangeEntry
}

export interface StagedTable {
  readonly tableId: string
  name: SourceTableName
  /** Commit of the newest `table` entry; -1: known from the log's base only. */
  namedAt: CommitNumber
  readonly snapshots: Map<number, StagedSnapshot>
  /** The newest gap. */
  gap: { readonly commit: CommitNumber; readonly entry: GapEntry } | undefined
  /** By the newest gap, and no copy was begun since: it comes back under a new copy or never. */
  isGone: boolean
  /** The newest full refresh that a person asked for. */
  refreshedAt?: CommitNumber
}

/** Grows with the log; every manifest is looked at once. */
export class StagedTables {
  readonly #tables = new Map<string, StagedTable>()
  readonly #barriers: CommitNumber[] = []
  #next: CommitNumber | undefined
  #newest: CommitNumber | undefined

  /** Takes in what is new; `manifests` is ascending and dense, and may start anywhere at or before the first unseen one. */
  read(base: LogBase, manifests: readonly Manifest[]): void {
    // A purge may have overtaken us: then we begin again from what it left.
    if (this.#next === undefined || (manifests[0]?.commit ?? 0) > this.#next) {
      this.#tables.clear()
      for (const table of base.tables) for (const entry of table.entries) this.#take(entry, -1)
      this.#next = base.first
    }
    const first = manifests[0]?.commit
    if (first === undefined) return
    for (const manifest of manifests.slice(Math.max(0, this.#next - first))) {
      for (const entry of manifest.entries) this.#take(entry, manifest.commit)
      if (manifest.barrier === true) this.#barriers.push(manifest.commit)
      this.#newest = manifest.commit
      this.#next = manifest.commit + 1
    }
  }

  /** Number of the newest staged commit; undefined before the first. */
  get newest(): CommitNumber | undefined {
    return this.#newest
  }

  /** Commits an update stops at, ascending. */
  get barriers(): readonly CommitNumber[] {
    return this.#barriers
  }

  table(tableId: string): StagedTable | undefined {
    return this.#tables.get(tableId)
  }

  /**
   * One per source name: of tables that had the same name in turn, the one named last of those that
   * the source still has; of others when it has none.
   */
  current(): readonly StagedTable[] {
    const byName = groupBy(this.#tables.values(), ({ name }) =>
      JSON.stringify([name.catalog, name.schema, name.table]),
    )
    return [...byName.values()].map((tables) => {
      const living = tables.filter(({ isGone }) => !isGone)
      const candidates = living.length > 0 ? living : tables
      return candidates.reduce((latest, table) =>
        table.namedAt >= latest.namedAt ? table : latest,
      )
    })
  }

  #take(entry: ManifestEntry, commit: CommitNumber): void {
    if (entry.kind === 'table') {
      this.#name(entry, commit)
      return
    }
    const table = this.#tables.get(entry.table_id)
    if (table === undefined) return
    takeTableEntry(table, entry, commit)
  }

  #name(entry: Extract<ManifestEntry, { kind: 'table' }>, commit: CommitNumber): void {
    const name: SourceTableName = {
      ...(entry.source_catalog === undefined ? {} : { catalog: entry.source_catalog }),
      schema: entry.source_schema,
      table: entry.source_table,
    }
    const known = this.#tables.get(entry.table_id)
    if (known === undefined) {
      const table = {
        tableId: entry.table_id,
        name,
        namedAt: commit,
        gap: undefined,
        isGone: false,
      }
      this.#tables.set(entry.table_id, { ...table, snapshots: new Map() })
    } else {
      known.name = name
      known.namedAt = commit
    }
  }
}

function takeTableEntry(
  table: StagedTable,
  entry: Exclude<ManifestEntry, { kind: 'table' }>,
  commit: CommitNumber,
): void {
  if (entry.kind === 'gap') {
    table.gap = { commit, entry }
    table.isGone = entry.gone === true
    if (entry.full_refresh === true) table.refreshedAt = commit
    for (const snapshot of table.snapshots.values()) snapshot.isVoid = true
    return
  }
  if (entry.kind === 'snapshot_started') {
    table.isGone = false
    const startedAt = commit < 0 ? undefined : commit
    const empty = { resumed: undefined, resumedAt: undefined, chunks: new Map(), steps: [] }
    const open = { finishedAt: undefined, isVoid: false }
    table.snapshots.set(entry.snapshot_id, { started: entry, startedAt, ...empty, ...open })
    return
  }
  const snapshot = table.snapshots.get(entry.snapshot_id)
  if (snapshot === undefined || snapshot.isVoid) return
  switch (entry.kind) {
    case 'snapshot_resumed':
      snapshot.resumed = entry
      snapshot.resumedAt = commit
      break
    case 'snapshot_chunk':
      snapshot.chunks.set(entry.chunk, entry)
      break
    case 'snapshot_finished':
      snapshot.finishedAt = commit
      forgetOlder(table, entry.snapshot_id)
      break
    case 'changes':
    case 'truncate':
    case 'schema_change':
      snapshot.steps.push({ commit, entry })
      break
    default:
      entry satisfies never
  }
}

/** Copies that never finished are superseded; finished ones stay: an update may stop at a barrier before the newest. */
function forgetOlder(table: StagedTable, snapshotId: number): void {
  for (const [id, snapshot] of table.snapshots) {
    if (id < snapshotId && snapshot.finishedAt === undefined) table.snapshots.delete(id)
  }
}

/**
 * What the staging log says about each table, gathered manifest by manifest. What is applied is
 * forgotten again, so that it does not grow with the log; who needs it all the same has it recalled.
 */
import { groupBy } from '../base/group-by.ts'
import type { SourceTableName } from '../source/table-schema.ts'
import type { LogBase } from './log-base.ts'
import type { CommitNumber, Manifest, ManifestEntry } from './manifest.ts'
import type { LogSink } from './read-log.ts'
import { type Recall, type RecalledCopy, Recalling } from './recalling.ts'
import {
  contextOf,
  type EntryContext,
  forgetApplied,
  forgetChunks,
  newestFinished,
  type StagedSnapshot,
  type StagedTable,
  takeTableEntry,
} from './staged-table.ts'

/** A table with its copies, of which everything that can be recalled is forgotten. */
export interface StagedTableState extends Omit<StagedTable, 'snapshots'> {
  readonly snapshots: readonly Omit<StagedSnapshot, 'chunks'>[]
}

export interface StagedState {
  readonly lastSequence: string | undefined
  /** Place in the source's log after the newest commit. */
  readonly position: string
  /** Ascending. */
  readonly barriers: readonly { readonly commit: CommitNumber; readonly position: string }[]
  readonly tables: readonly StagedTableState[]
}

/**
 * How many of the newest commits are kept whole, at least, while a log is told from its beginning:
 * what is applied is not known yet, and the log may be longer than memory.
 */
const keptAtStart = 10_000

export class StagedTables implements LogSink {
  readonly #tables = new Map<string, StagedTable>()
  readonly #barriers: CommitNumber[] = []
  /** Of the barriers and of the newest commit. */
  readonly #positions = new Map<CommitNumber, string>()
  #newest: CommitNumber | undefined
  #lastSequence: string | undefined
  /** Nothing was said yet about what is applied. */
  #isBeginning = true

  begin(base: LogBase): void {
    this.#isBeginning = true
    this.#tables.clear()
    this.#positions.clear()
    this.#barriers.length = 0
    this.#newest = undefined
    this.#lastSequence = base.last_sequence
    const place = { lastSequence: base.last_sequence, createdAtMs: 0 }
    for (const { entries } of base.tables) {
      for (const entry of entries) this.#take(entry, { commit: -1, place, times: undefined })
    }
  }

  /** Instead of `begin`: as if all up to `commit` had been told and was forgotten. */
  restore(state: StagedState, at: { readonly commit: CommitNumber; readonly base: LogBase }): void {
    const { commit, base } = at
    this.begin({ first: base.first, tables: [] })
    this.#lastSequence = state.lastSequence
    // Nobody stops any more at what a purge has passed.
    for (const barrier of state.barriers.filter((one) => one.commit >= base.first)) {
      this.#barriers.push(barrier.commit)
      this.#positions.set(barrier.commit, barrier.position)
    }
    this.#positions.set(commit, state.position)
    this.#newest = commit
    for (const { snapshots, ...table } of state.tables) {
      const copies = snapshots.map((copy): [number, StagedSnapshot] => [
        copy.started.snapshot_id,
        { ...copy, steps: [...copy.steps], chunks: new Map() },
      ])
      this.#tables.set(table.tableId, { ...table, snapshots: new Map(copies) })
    }
  }

  /** What `restore` goes on from, once all is forgotten. */
  state(): StagedState {
    this.forgetAll()
    const positionOf = (commit: CommitNumber): string => this.#positions.get(commit) ?? ''
    return {
      lastSequence: this.#lastSequence,
      position: positionOf(this.#newest ?? -1),
      barriers: this.#barriers.map((commit) => ({ commit, position: positionOf(commit) })),
      tables: [...this.#tables.values()].map((table) => ({
        ...table,
        snapshots: this.#neededOf(table).map(withoutChunks),
      })),
    }
  }

  /** Copies that no update goes to any more would pile up. */
  #neededOf({ snapshots }: StagedTable): readonly StagedSnapshot[] {
    const targets = [...this.#barriers, this.#newest ?? -1]
    const needed = new Set(targets.map((target) => newestFinished(snapshots, target)))
    return [...snapshots.values()].filter(
      (copy) => copy.finishedAt === undefined || needed.has(copy),
    )
  }

  take(manifest: Manifest): void {
    const { commit, barrier, position_after: position } = manifest
    this.#lastSequence = manifest.last_sequence ?? this.#lastSequence
    const context = contextOf(manifest, this.#lastSequence)
    for (const entry of manifest.entries) this.#take(entry, context)
    if (this.#newest !== undefined && this.#newest !== this.#barriers.at(-1)) {
      this.#positions.delete(this.#newest)
    }
    if (barrier === true) this.#barriers.push(commit)
    this.#positions.set(commit, position)
    this.#newest = commit
    if (this.#isBeginning && commit % keptAtStart === 0) this.#forgetUpTo(commit - keptAtStart)
  }

  /** Number of the newest staged commit; undefined before the first. */
  get newest(): CommitNumber | undefined {
    return this.#newest
  }

  /** Commits an update stops at, ascending. */
  get barriers(): readonly CommitNumber[] {
    return this.#barriers
  }

  /** Place in the source's log after a barrier or the newest commit. */
  positionAt(commit: CommitNumber): string {
    return this.#positions.get(commit) ?? ''
  }

  table(tableId: string): StagedTable | undefined {
    return this.#tables.get(tableId)
  }

  /**
   * Lets go of what no plan needs whose tables are applied as `appliedOf` says: up to a commit, or not
   * at all (undefined: what is staged is still needed).
   */
  forget(appliedOf: (tableId: string) => CommitNumber | undefined): void {
    this.#isBeginning = false
    for (const table of this.#tables.values()) {
      const applied = appliedOf(table.tableId)
      if (applied === undefined) continue
      for (const snapshot of table.snapshots.values()) forgetApplied(snapshot, applied)
    }
  }

  /** Keeps of what was told only what can not be recalled. */
  forgetAll(): void {
    const newest = this.#newest ?? -1
    this.#forgetUpTo(newest)
    for (const { snapshots } of this.#tables.values()) {
      for (const snapshot of snapshots.values()) forgetChunks(snapshot, newest)
    }
  }

  #forgetUpTo(commit: CommitNumber): void {
    for (const { snapshots } of this.#tables.values()) {
      for (const snapshot of snapshots.values()) forgetApplied(snapshot, commit)
    }
  }

  /** The log from the smallest `from` of `recalls` to the newest commit has to be told to it. */
  recalling(recalls: readonly Recall[]): Recalling {
    const copies = recalls.flatMap((recall) => {
      const snapshot = this.#tables.get(recall.tableId)?.snapshots.get(recall.snapshotId)
      return snapshot === undefined ? [] : [{ recall, snapshot }]
    })
    const from = recalls.reduce((least, recall) => Math.min(least, recall.from), Infinity)
    return new Recalling([...copies, ...this.#unfinishedFrom(from)])
  }

  /** Or each of them would be a cause to read the log again, once it is finished. */
  #unfinishedFrom(first: CommitNumber): readonly RecalledCopy[] {
    const copies: RecalledCopy[] = []
    for (const { tableId, snapshots } of this.#tables.values()) {
      for (const snapshot of snapshots.values()) {
        const { startedAt: from, finishedAt, forgottenUpTo, isVoid, started } = snapshot
        if (finishedAt !== undefined || forgottenUpTo === undefined || isVoid) continue
        if (from === undefined || from < first) continue
        copies.push({ recall: { tableId, snapshotId: started.snapshot_id, from }, snapshot })
      }
    }
    return copies
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

  #take(entry: ManifestEntry, context: EntryContext): void {
    if (entry.kind === 'table') {
      this.#name(entry, context.commit)
      return
    }
    const table = this.#tables.get(entry.table_id)
    if (table !== undefined) takeTableEntry(table, entry, context)
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

function withoutChunks(copy: StagedSnapshot): StagedTableState['snapshots'][number] {
  const { chunks: _, ...rest } = copy
  return rest
}

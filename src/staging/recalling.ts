/** Has what was forgotten of some copies told once more. */
import { groupBy } from '../base/group-by.ts'
import type { CommitNumber } from './manifest.ts'
import {
  contextOf,
  type StagedSnapshot,
  type StagedTable,
  takeTableEntry,
  type TakenManifest,
} from './staged-table.ts'

/** Chunks and steps of a copy that are needed again, from this commit on. */
export interface Recall {
  readonly tableId: string
  readonly snapshotId: number
  readonly from: CommitNumber
}

type RecallingTable = Pick<StagedTable, 'snapshots' | 'gap' | 'isGone'>

export interface RecalledCopy {
  readonly recall: Recall
  readonly snapshot: StagedSnapshot
}

interface RecallingCopy extends RecalledCopy {
  readonly again: RecallingTable
}

/** Takes in manifests once more, for some copies. */
export class Recalling {
  readonly #copies: readonly RecallingCopy[]
  readonly #byTable: ReadonlyMap<string, readonly RecallingCopy[]>

  constructor(copies: readonly RecalledCopy[]) {
    this.#copies = copies.map((copy) => ({ ...copy, again: emptiedAt(copy) }))
    this.#byTable = groupBy(this.#copies, ({ recall }) => recall.tableId)
  }

  /** From here on; undefined: nothing is to be told. */
  get from(): CommitNumber | undefined {
    if (this.#copies.length === 0) return undefined
    return this.#copies.reduce((least, { recall }) => Math.min(least, recall.from), Infinity)
  }

  take(manifest: TakenManifest): void {
    const context = contextOf(manifest, undefined)
    for (const entry of manifest.entries) {
      if (entry.kind === 'table') continue
      for (const { recall, again } of this.#byTable.get(entry.table_id) ?? []) {
        if (manifest.commit >= recall.from) takeTableEntry(again, entry, context)
      }
    }
  }

  /** All was told: the copies have it. */
  end(): void {
    for (const { recall, snapshot, again } of this.#copies) {
      const { forgottenUpTo, startedAt } = snapshot
      const taken = again.snapshots.get(recall.snapshotId)
      if (taken === undefined || forgottenUpTo === undefined || forgottenUpTo < recall.from)
        continue
      const earlier = snapshot.steps.filter(({ commit }) => commit < recall.from)
      snapshot.steps = [...earlier, ...taken.steps]
      snapshot.chunks = taken.chunks
      const isWhole = startedAt !== undefined && recall.from <= startedAt
      snapshot.forgottenUpTo = isWhole ? undefined : recall.from - 1
    }
  }
}

/** The table as it stood before the recalled commits, but for what is forgotten. */
function emptiedAt({ recall, snapshot }: RecalledCopy): RecallingTable {
  const isVoid = snapshot.voidAt !== undefined && snapshot.voidAt < recall.from
  const copy = { ...snapshot, chunks: new Map(), steps: [], isVoid }
  return { snapshots: new Map([[recall.snapshotId, copy]]), gap: undefined, isGone: false }
}

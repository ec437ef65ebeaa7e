/** One table of a running gateway: its state, its present snapshot, and what of it is on record. */
import type { TransactionInfo } from '../source/change-sink.ts'
import type { Position } from '../source/source.ts'
import type { SourceTable, TableSchema } from '../source/table-schema.ts'
import type { CopyLedger } from './copy-ledger.ts'
import { CopyProgress } from './copy-progress.ts'
import { CopyPoints, type PointChoice } from './copy-points.ts'
import type { TableStatus, TableSyncState } from './gateway-status.ts'
import { RepeatedNews } from './repeated-news.ts'
import { isSameSchema } from './same-schema.ts'
import { isFollowed, nextTableSync, type TableSyncEvent } from './table-sync.ts'

export type TableProblem = NonNullable<TableStatus['problem']>

export class FollowedTable {
  /** As last described by the source; while the table is followed, the schema of its copy. */
  table: SourceTable
  /** Newest on record, -1 before the first. */
  snapshotId = -1
  /** Newest on record, -1 before the first. */
  schemaVersion = -1
  recordedSchema: TableSchema | undefined
  /** `schema.table` */
  recordedName: string | undefined
  /** On record as gone, and no copy was begun since. */
  isGoneOnRecord = false
  /** Of the present copy. */
  points = CopyPoints.of([])
  /** Of the present copy, until all of it is staged. */
  ledger: CopyLedger | undefined
  problem: TableProblem | undefined
  /** Why the table, which was followed before, is copied anew; until that copy is whole. */
  anew: string | undefined
  /** Stops the copy in progress. */
  abortCopy: (() => void) | undefined
  /** The description may be old: ask the source again before the next copy. */
  mustDescribe = false
  copyFailures = 0
  /** Why copies failed, told by this process since the last one that came to its end. */
  readonly copyNews = new RepeatedNews()
  /** Copies given up since the last one that came to its end. */
  timesGivenUp = 0
  /** Of a failed table: when a copy is tried again although nothing is known to be mended. */
  retryAtMs = 0
  /** Rows and input bytes read of the present copy; a chunk that fails takes its own back. */
  snapshotRows = 0
  snapshotBytes = 0
  copyProgress = new CopyProgress()
  /** Rows in staged files of the present copy. */
  stagedRows = 0
  changes = 0
  #state: TableSyncState
  #knownSame: TableSchema | undefined
  #knownFor: TableSchema | undefined
  #chosenFor: TransactionInfo | undefined
  #choice: PointChoice = 0

  constructor(table: SourceTable, state: TableSyncState = 'pending') {
    this.table = table
    this.#state = state
  }

  get state(): TableSyncState {
    return this.#state
  }

  get isFollowed(): boolean {
    return isFollowed(this.#state)
  }

  meet(event: TableSyncEvent): void {
    this.#state = nextTableSync(this.#state, event)
  }

  /** Whether the present copy shows the transaction; cheap for the same one again. */
  choose(transaction: TransactionInfo): PointChoice {
    if (this.#chosenFor !== transaction) {
      this.#chosenFor = transaction
      this.#choice = this.points.choose(transaction)
    }
    return this.#choice
  }

  /** `schema` means the same as `present`; cheap for a schema seen before. */
  hasSchema(schema: TableSchema, present: TableSchema = this.table.schema): boolean {
    if (schema === present || (schema === this.#knownSame && present === this.#knownFor)) {
      return true
    }
    if (!isSameSchema(schema, present)) return false
    this.#knownSame = schema
    this.#knownFor = present
    return true
  }

  /** A copy begins, shows what `points` say, and is on record under the next snapshot id. */
  beginCopy(
    table: SourceTable,
    schemaVersion: number,
    copy: { readonly points: CopyPoints; readonly ledger: CopyLedger },
  ): void {
    this.meet('copy-begun')
    this.table = table
    this.noteRecord(table, schemaVersion)
    this.setPoints(copy.points)
    this.ledger = copy.ledger
    this.#knownSame = undefined
    this.snapshotRows = this.snapshotBytes = this.stagedRows = 0
    this.copyProgress = new CopyProgress()
    this.problem = undefined
  }

  /** The begin of a copy with this schema is on record under the next snapshot id. */
  noteRecord(table: SourceTable, schemaVersion: number): void {
    this.recordedSchema = table.schema
    this.recordedName = `${table.name.schema}.${table.name.table}`
    this.schemaVersion = schemaVersion
    this.isGoneOnRecord = false
    this.snapshotId++
  }

  /** A change of schema of copy `snapshotId` is on record. */
  noteSchema(table: SourceTable, schemaVersion: number, snapshotId: number): void {
    if (schemaVersion > this.schemaVersion) {
      this.recordedSchema = table.schema
      this.recordedName = `${table.name.schema}.${table.name.table}`
      this.schemaVersion = schemaVersion
    }
    if (!this.isFollowed || this.snapshotId !== snapshotId) return
    this.table = table
    this.#knownSame = undefined
  }

  setPoints(points: CopyPoints): void {
    this.points = points
    this.#chosenFor = undefined
  }

  /** Everything before `position` is staged. */
  passPoints(position: Position): void {
    const { points } = this
    this.setPoints(points.passedBy(position))
    if (this.points.isPassed && !points.isPassed) {
      this.copyFailures = this.timesGivenUp = 0
      this.copyNews.forget()
    }
  }

  /** The copy in progress can not be gone on with. */
  forgetCopy(): void {
    this.ledger = undefined
    this.setPoints(CopyPoints.of([]))
  }

  status(): TableStatus {
    const copied = this.copyProgress.bytes
    return {
      tableId: this.table.id,
      name: this.table.name,
      state: this.#state,
      snapshotRows: this.snapshotRows,
      estimatedRows: this.table.estimatedRows,
      snapshotBytes: this.snapshotBytes,
      ...(copied === undefined ? {} : { copied }),
      estimatedBytes: this.table.estimatedBytes,
      changes: this.changes,
      ...(this.anew === undefined ? {} : { anew: this.anew }),
      ...(this.problem === undefined ? {} : { problem: this.problem }),
    }
  }
}

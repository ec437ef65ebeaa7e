/**
 * Takes what a source's decoder pushes and turns it into staged commits, always of whole
 * transactions. Memory is bounded by bytes whatever the size of a transaction (I6): rows go to data
 * files as they come, and only the manifest at the end makes them visible. While one part is
 * encoded, written and published, the decoder fills the next.
 *
 * One buffer serves one stream. When the stream fails, the buffer is abandoned and the next stream
 * begins at the last staged position.
 */
import type { SteadyClock } from '../base/clock.ts'
import { asSluiceError } from '../base/errors.ts'
import type { Timers } from '../base/timers.ts'
import type { ChangeSink, RowTarget, SchemaChange, TransactionInfo } from '../source/change-sink.ts'
import type { Position } from '../source/source.ts'
import type { SourceTable, TableId } from '../source/table-schema.ts'
import { ChangeFiles, type ChangeFilesOptions, resumptionField } from './change-files.ts'
import { ChangeLanes, type Lane } from './change-lanes.ts'
import type { ChangeRows, TakenRows, TransactionCursor } from './change-rows.ts'
import type { DeliveredTransactions } from './delivered-transactions.ts'
import type { FollowedTable } from './followed-table.ts'
import type { FollowedTables } from './followed-tables.ts'
import {
  flushIntervalMs,
  type Gathered,
  maximumWaitingCommits,
  nothingGathered,
  withTransaction,
} from './gathered.ts'
import type { Progress } from './progress.ts'
import { lastOrdinal, SchemaSteps, type SchemaStepsOptions } from './schema-steps.ts'
import { highWord, lowWord, SequenceCounter } from './sequence.ts'
import { stepProblem } from './same-schema.ts'
import type { GatewaySettings } from './settings.ts'
import type { StreamGate } from './stream-gate.ts'

export interface TransactionBufferOptions {
  readonly files: Omit<ChangeFilesOptions, 'fileBytes'> & SchemaStepsOptions
  readonly tables: FollowedTables
  readonly progress: Pick<Progress, 'publish' | 'lastSequence' | 'state'>
  readonly gate: StreamGate
  readonly delivered: DeliveredTransactions
  readonly settings: GatewaySettings
  readonly clock: SteadyClock
  readonly timers: Timers
  /** Something could not be written; the stream is to be stopped. */
  readonly onFailure: (error: unknown) => void
}

interface Wanted {
  readonly table: FollowedTable
  /** See `ChangesEntry`. */
  readonly resumption: number
}

export class TransactionBuffer implements ChangeSink {
  readonly #options: TransactionBufferOptions
  readonly #files: ChangeFiles
  readonly #steps: SchemaSteps
  readonly #sequence: SequenceCounter
  readonly #cursor: TransactionCursor
  readonly #lanes: ChangeLanes
  #open: TransactionInfo | undefined
  /** The open transaction has a sequence. */
  #isWanted = false
  #lastTable: SourceTable | undefined
  #lastRows: ChangeRows | undefined
  #gathered: Gathered = nothingGathered()
  #position: Position | undefined
  #takenPosition: Position | undefined
  #takenAtMs: number
  /** Rows handed over for writing and not yet written, and a queue of that work. */
  #writingBytes = 0
  #work: Promise<void> = Promise.resolve()
  #waiting = 0
  #forgetTimer: (() => void) | undefined
  #paused: (() => void)[] = []
  #isEnded = false
  #hasFailed = false
  #peakBytes = 0

  constructor(options: TransactionBufferOptions) {
    this.#options = options
    this.#files = new ChangeFiles({ ...options.files, fileBytes: options.settings.fileBytes })
    this.#steps = new SchemaSteps(options.files)
    this.#sequence = new SequenceCounter(options.progress.lastSequence)
    this.#position = this.#takenPosition = options.progress.state?.position
    this.#takenAtMs = options.clock.elapsedMs()
    this.#cursor = {
      sequence: 0n,
      sequenceLow: 0,
      sequenceHigh: 0,
      timeLow: 0,
      timeHigh: 0,
      ordinal: 0,
      openBytes: 0,
      // A quarter being filled, the rest room for what is being written.
      fullBytes: options.settings.bufferBytes >> 2,
      onFull: () => this.#spill(),
    }
    this.#lanes = new ChangeLanes(this.#cursor)
  }

  /** Most bytes of rows that were held at one time. */
  get peakBytes(): number {
    return this.#peakBytes
  }

  begin(transaction: TransactionInfo): void {
    if (this.#isEnded) return
    this.#open = transaction
    this.#isWanted = false
    this.#lastTable = undefined
    this.#options.gate.enterTransaction()
    this.#options.delivered.add(transaction)
  }

  rowsFor(table: SourceTable): RowTarget | undefined {
    if (table !== this.#lastTable) {
      this.#lastTable = table
      this.#lastRows = this.#resolve(table)
    }
    return this.#lastRows
  }

  truncate(tables: readonly TableId[]): void {
    const open = this.#open
    this.#lastTable = undefined
    let isWanted = false
    for (const id of tables) {
      const wanted = this.#wanted(id)
      if (wanted === undefined) continue
      const { table } = wanted
      this.#takeSequence()
      isWanted = true
      this.#gathered.truncates.push({
        kind: 'truncate',
        table_id: id,
        snapshot_id: table.snapshotId,
        ...resumptionField(wanted.resumption),
        sequence: this.#cursor.sequence.toString(),
        ordinal: this.#cursor.ordinal,
        ...(open === undefined ? {} : { commit_time_us: open.commitTimeUs.toString() }),
      })
    }
    if (isWanted) this.#cursor.ordinal++
  }

  commit(position: Position): void {
    const open = this.#open
    if (this.#isWanted && open !== undefined) this.#gather(open)
    this.#open = this.#lastTable = undefined
    this.#reach(position)
    this.#options.gate.leaveTransaction()
  }

  heartbeat(position: Position): void {
    this.#lastTable = undefined
    this.#reach(position)
  }

  /** Rows carry their table's schema, so without `change` it is looked at when a wanted one comes. */
  schemaChanged(source: SourceTable, change?: SchemaChange): void {
    this.#lastTable = undefined
    const table = this.#options.tables.get(source.id)
    if (change === undefined || table === undefined || !table.isFollowed || this.#isEnded) return
    const isOpen = this.#open !== undefined
    // The copy shows what the open transaction did, and was made by its own description.
    if (isOpen && this.#wanted(source.id) === undefined) return
    const problem = stepProblem(this.#steps.current(table).schema, source.schema, change)
    if (problem !== undefined) return this.#options.tables.gap(table, problem)
    if (change.kind === 'new') return
    this.#takeSequence()
    const at = isOpen ? this.#cursor : { sequence: this.#sequence.last, ordinal: lastOrdinal }
    const step = this.#steps.add(table, source, { fills: change.fills, ...at })
    if (isOpen) this.#cursor.ordinal++
    this.#enqueue(() => this.#steps.writeSchema(step))
    if (!isOpen && this.#position !== undefined) this.#reach(this.#position)
  }

  followed(tableId: TableId): SourceTable | undefined {
    const table = this.#options.tables.get(tableId)
    return table?.isFollowed === true ? this.#steps.current(table) : undefined
  }

  gap(tableId: TableId, reason: string): void {
    this.#lastTable = undefined
    const table = this.#options.tables.get(tableId)
    if (table !== undefined) this.#options.tables.gap(table, reason)
  }

  pressure(): Promise<void> | undefined {
    this.#lastTable = undefined
    if (this.#isEnded) return undefined
    if (this.#isFull()) return new Promise((resolve) => this.#paused.push(resolve))
    return this.#options.gate.pressure()
  }

  /**
   * The stream is over: stages every whole transaction it delivered and the position it reached,
   * and waits until that is durable. What it delivered of an incomplete transaction is dropped,
   * with the whole ones before it that share its files; the next stream delivers them again.
   */
  async drain(options: { readonly barrier?: boolean } = {}): Promise<void> {
    if (this.#open === undefined) {
      if (this.#hasNews() || options.barrier === true) this.#cut(options.barrier === true)
      await this.#work
    }
    await this.abandon()
  }

  /** Drops what is not handed over for publishing yet; safe to call at any time and again. */
  async abandon(): Promise<void> {
    this.#end()
    await this.#work
    await this.#files.abort()
  }

  #resolve(source: SourceTable): ChangeRows | undefined {
    const wanted = this.#wanted(source.id)
    if (wanted === undefined) return undefined
    const { table, resumption } = wanted
    const { schema } = this.#steps.current(table)
    if (!table.hasSchema(source.schema, schema)) {
      this.#options.tables.gap(table, 'the table has a new schema')
      return undefined
    }
    this.#takeSequence()
    const version = this.#steps.version(table)
    const lane = this.#lanes.of({ table, resumption, version, schema })
    lane.rows.openTransaction()
    return lane.rows
  }

  #wanted(tableId: TableId): Wanted | undefined {
    const open = this.#open
    const table = this.#options.tables.get(tableId)
    if (open === undefined || table === undefined || !table.isFollowed) return undefined
    const choice = table.choose(open)
    return choice === 'drop' ? undefined : { table, resumption: choice }
  }

  #takeSequence(): void {
    if (this.#isWanted || this.#open === undefined) return
    this.#isWanted = true
    const cursor = this.#cursor
    cursor.sequence = this.#sequence.take()
    cursor.sequenceLow = lowWord(cursor.sequence)
    cursor.sequenceHigh = highWord(cursor.sequence)
    cursor.timeLow = lowWord(this.#open.commitTimeUs)
    cursor.timeHigh = highWord(this.#open.commitTimeUs)
    cursor.ordinal = 0
  }

  #gather({ commitTimeUs }: TransactionInfo): void {
    const before = this.#gathered.transactions
    if (before === undefined) this.#gathered.sinceMs = this.#options.clock.elapsedMs()
    const { sequence } = this.#cursor
    this.#gathered.transactions = withTransaction(before, { sequence, commitTimeUs })
  }

  /** Between two transactions: stages what is gathered if it is time to. */
  #reach(position: Position): void {
    this.#position = position
    if (this.#isEnded) return
    const { settings, tables, clock } = this.#options
    if (this.#gathered.bytes + this.#cursor.openBytes >= settings.commitBytes) {
      return this.#cut(false)
    }
    // While a commit is being published others only gather; its end brings us here again.
    if (this.#waiting > 0) return
    if (tables.awaits(position)) return this.#cut(false)
    const { transactions } = this.#gathered
    if (transactions === undefined && this.#steps.hasNews) return this.#cut(false)
    if (transactions === undefined) {
      const isDue = clock.elapsedMs() - this.#takenAtMs >= settings.positionIntervalMs
      if (isDue && position !== this.#takenPosition) this.#cut(false)
      return
    }
    const dueMs = this.#gathered.sinceMs + flushIntervalMs(transactions, this.#options)
    if (clock.elapsedMs() >= dueMs) this.#cut(false)
    else this.#schedule(dueMs - clock.elapsedMs())
  }

  /** Looks again whether it is time; in the middle of a transaction its commit will. */
  #reachAgain(): void {
    if (this.#open === undefined && this.#position !== undefined) this.#reach(this.#position)
  }

  /** The stream may fall silent after a commit: what it delivered is staged all the same. */
  #schedule(delayMs: number): void {
    this.#forgetTimer ??= this.#options.timers.after(Math.max(1, delayMs), () => {
      this.#forgetTimer = undefined
      this.#reachAgain()
    })
  }

  #hasNews(): boolean {
    const hasChanges = this.#gathered.transactions !== undefined || this.#steps.hasNews
    return hasChanges || this.#position !== this.#takenPosition
  }

  /** Hands everything gathered over as one staged commit. */
  #cut(barrier: boolean): void {
    this.#spill()
    const { truncates, transactions } = this.#gathered
    const steps = this.#steps.take()
    const position = this.#position
    this.#gathered = nothingGathered()
    this.#takenPosition = position
    this.#takenAtMs = this.#options.clock.elapsedMs()
    this.#forgetTimer?.()
    this.#forgetTimer = undefined
    this.#lanes.clear()
    this.#lastTable = undefined
    this.#waiting++
    this.#enqueue(async () => {
      const changed = await this.#steps.entries(steps)
      const entries = [...changed, ...(await this.#files.finish()), ...truncates]
      await this.#options.progress.publish({
        entries,
        ...(position === undefined ? {} : { position }),
        ...(transactions === undefined ? {} : { transactions }),
        barrier,
      })
      this.#steps.published(steps)
      this.#waiting--
      this.#resume()
      this.#reachAgain()
    })
  }

  /** Hands the rows so far over for writing; may be in the middle of a transaction. */
  #spill(): void {
    this.#notePeak()
    for (const lane of this.#lanes.all()) {
      const taken = lane.rows.take()
      if (taken === undefined || this.#isEnded) continue
      this.#gathered.bytes += taken.batch.byteLength
      this.#writingBytes += taken.batch.byteLength
      lane.table.changes += taken.batch.rowCount
      this.#enqueue(() => this.#write(lane, taken))
    }
  }

  async #write(lane: Lane, taken: TakenRows): Promise<void> {
    await this.#files.append(lane, taken)
    this.#writingBytes -= taken.batch.byteLength
    this.#resume()
  }

  /** One piece of work after the other; after a failure no more. */
  #enqueue(work: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#hasFailed) return
      try {
        await work()
      } catch (error) {
        this.#hasFailed = true
        this.#end()
        this.#options.onFailure(asSluiceError(error))
      }
    })
  }

  #isFull(): boolean {
    this.#notePeak()
    const { bufferBytes } = this.#options.settings
    return (
      this.#waiting >= maximumWaitingCommits ||
      this.#cursor.openBytes + this.#writingBytes >= bufferBytes
    )
  }

  #notePeak(): void {
    const bytes = this.#cursor.openBytes + this.#writingBytes
    if (bytes > this.#peakBytes) this.#peakBytes = bytes
  }

  #resume(): void {
    if (this.#paused.length === 0 || (this.#isFull() && !this.#isEnded)) return
    for (const resolve of this.#paused.splice(0)) resolve()
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#open = this.#lastTable = this.#lastRows = undefined
    this.#forgetTimer?.()
    this.#options.gate.leaveTransaction()
    this.#resume()
  }
}

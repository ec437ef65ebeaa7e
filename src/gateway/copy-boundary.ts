/**
 * The stream as a source holds it while it begins a copy: only once everything is ready that may
 * take long, and never while a lock is waited for.
 */
import type { SnapshotPoint, StreamHold } from '../source/source.ts'
import type { TransactionInfo } from '../source/change-sink.ts'
import type { DeliveredTransactions } from './delivered-transactions.ts'
import type { StreamGate } from './stream-gate.ts'

export class CopyBoundary implements StreamHold {
  readonly #gate: StreamGate
  readonly #delivered: DeliveredTransactions
  #release: (() => void) | undefined
  #mark: number | undefined

  constructor(gate: StreamGate, delivered: DeliveredTransactions) {
    this.#gate = gate
    this.#delivered = delivered
  }

  async take(): Promise<readonly TransactionInfo[]> {
    this.give()
    this.#release = await this.#gate.hold()
    this.#mark = this.#delivered.count
    return this.#delivered.recent()
  }

  give(): void {
    this.#release?.()
    this.#release = this.#mark = undefined
  }

  /** The stream is held, and what it delivered since, although it was held, is in the copy. */
  isExact(point: SnapshotPoint): boolean {
    if (this.#mark === undefined) return false
    const since = this.#delivered.since(this.#mark)
    return since?.every((transaction) => point.covers(transaction)) ?? false
  }
}

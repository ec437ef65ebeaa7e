/**
 * The transactions the stream has delivered lately. A copy of a table must show all of them: a
 * source may send a transaction before its own queries can see it.
 */
import type { TransactionInfo } from '../source/change-sink.ts'

export class DeliveredTransactions {
  readonly #capacity: number
  readonly #ring: TransactionInfo[] = []
  #count = 0

  constructor(capacity = 65_536) {
    this.#capacity = capacity
  }

  /** How many there ever were; a mark for `since`. */
  get count(): number {
    return this.#count
  }

  add(transaction: TransactionInfo): void {
    this.#ring[this.#count++ % this.#capacity] = transaction
  }

  /** Newest last. */
  recent(): readonly TransactionInfo[] {
    return this.since(Math.max(0, this.#count - this.#capacity)) ?? []
  }

  /** Those after the first `mark`, newest last; undefined when they are no longer all remembered. */
  since(mark: number): readonly TransactionInfo[] | undefined {
    if (this.#count - mark > this.#capacity) return undefined
    const found: TransactionInfo[] = []
    for (let at = mark; at < this.#count; at++) {
      const transaction = this.#ring[at % this.#capacity]
      if (transaction !== undefined) found.push(transaction)
    }
    return found
  }
}

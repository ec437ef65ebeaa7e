/**
 * Holds the stream between two transactions while a copy of a table is begun. It outlives the
 * stream: without one, the boundary is always reached.
 */
export class StreamGate {
  #isInTransaction = false
  #holders = 0
  #opened: (() => void)[] = []
  #atBoundary: (() => void)[] = []

  enterTransaction(): void {
    this.#isInTransaction = true
  }

  /** The transaction is complete, or its stream has ended. */
  leaveTransaction(): void {
    this.#isInTransaction = false
    for (const resolve of this.#atBoundary.splice(0)) resolve()
  }

  /** What a decoder has to wait for before a transaction begins; undefined inside of one. */
  pressure(): Promise<void> | undefined {
    if (this.#holders === 0 || this.#isInTransaction) return undefined
    return new Promise((resolve) => this.#opened.push(resolve))
  }

  /**
   * Resolves between two transactions; the next one waits until the returned function was called.
   * A decoder that begins one without asking for pressure goes through: whoever holds the gate
   * makes sure that nothing was delivered meanwhile.
   */
  async hold(): Promise<() => void> {
    this.#holders++
    while (this.#isInTransaction) {
      await new Promise<void>((resolve) => this.#atBoundary.push(resolve))
    }
    let isHeld = true
    return () => {
      if (!isHeld) return
      isHeld = false
      if (--this.#holders === 0) for (const resolve of this.#opened.splice(0)) resolve()
    }
  }
}

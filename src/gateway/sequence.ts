/**
 * The gateway's own total order: a dense int64 for every staged source transaction, from 1. Taken
 * when the first wanted row of a transaction arrives, so that transactions nobody wants leave no hole.
 */
export class SequenceCounter {
  #last: bigint

  constructor(last: bigint) {
    this.#last = last
  }

  get last(): bigint {
    return this.#last
  }

  take(): bigint {
    return ++this.#last
  }
}

/** Low and high 32 bits, signed, as column builders take them. */
export function lowWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}

export function highWord(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n))
}

/** A small seeded generator, so that a failing run can be played again. */
export interface Random {
  /** Whole number, `from` ≤ n < `to`. */
  int(from: number, to: number): number
  /** True with the given probability. */
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
}

/** mulberry32: 32 bits of state, good enough to choose test actions. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  return {
    int: (from, to) => from + Math.floor(next() * (to - from)),
    chance: (probability) => next() < probability,
    pick: (values) => {
      const value = values[Math.floor(next() * values.length)]
      if (value === undefined) throw new RangeError('pick from an empty list')
      return value
    },
  }
}

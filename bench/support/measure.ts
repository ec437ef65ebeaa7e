/** How every number is made, and what a bench hands back. */

export interface Measurement {
  /** What was measured, in a few words. */
  readonly name: string
  /** In `unit`; larger is better. */
  readonly value: number
  readonly unit: string
  /** The best anybody could do on the same bytes in the same run, in the same unit. */
  readonly limit?: number
  /** What the limit is, in a few words. */
  readonly limitName?: string
}

/** A module of `bench/` exports one of these as `run`. */
export type Bench = (options: BenchOptions) => Promise<readonly Measurement[]>

export interface BenchOptions {
  /** Rows of the fixtures. */
  readonly rows: number
  /** Measured rounds after the warm-up; the median counts. */
  readonly rounds: number
  readonly say: (line: string) => void
}

export interface Contestant {
  readonly name: string
  readonly run: () => void | Promise<void>
}

/**
 * Median seconds of each contestant. They take turns within a round, so that a machine that slows
 * down slows all of them; two rounds of warm-up do not count.
 */
export async function medianSeconds(
  contestants: readonly Contestant[],
  rounds: number,
): Promise<number[]> {
  const times = contestants.map((): number[] => [])
  for (let round = -2; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      const start = process.hrtime.bigint()
      await contestant.run()
      const seconds = Number(process.hrtime.bigint() - start) / 1e9
      if (round >= 0) times[index]?.push(seconds)
    }
  }
  return times.map(median)
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

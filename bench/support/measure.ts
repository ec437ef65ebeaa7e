/** How every number is made, and what a bench hands back. */

export interface Measurement {
  /** What was measured, in a few words. */
  readonly name: string
  /** In `unit`. */
  readonly value: number
  readonly unit: string
  /** The best anybody could do on the same bytes in the same run, in the same unit. */
  readonly limit?: number
  /** What the limit is, in a few words. */
  readonly limitName?: string
  /** What is to be reached, in a few words. */
  readonly goal?: string
}

/** A module of `bench/` exports one of these as `run`. */
export type Bench = (options: BenchOptions) => Promise<readonly Measurement[]>

export interface BenchOptions {
  /** Rows of the fixtures; each bench has a default of its own. */
  readonly rows: number | undefined
  /** Measured rounds after the warm-up; the median counts. */
  readonly rounds: number | undefined
  readonly say: (line: string) => void
}

export interface Contestant {
  readonly name: string
  readonly run: () => void | Promise<void>
}

export interface Timing {
  /** Median wall seconds. */
  readonly wall: number
  /** Median CPU seconds of the thread that runs JavaScript. */
  readonly thread: number
  /** Median CPU seconds of the whole process: compression runs on other threads. */
  readonly cpu: number
}

/**
 * Timings of each contestant. They take turns within a round, so that a machine that slows down
 * slows all of them; two rounds of warm-up do not count.
 */
export async function medianTimings(
  contestants: readonly Contestant[],
  rounds: number,
): Promise<Timing[]> {
  const all = contestants.map((): Timing[] => [])
  for (let round = -2; round < rounds; round++) {
    for (const [index, contestant] of contestants.entries()) {
      const timing = await timed(contestant)
      if (round >= 0) all[index]?.push(timing)
    }
  }
  return all.map((timings) => ({
    wall: median(timings.map(({ wall }) => wall)),
    thread: median(timings.map(({ thread }) => thread)),
    cpu: median(timings.map(({ cpu }) => cpu)),
  }))
}

async function timed(contestant: Contestant): Promise<Timing> {
  const start = process.hrtime.bigint()
  const threadBefore = process.threadCpuUsage()
  const processBefore = process.cpuUsage()
  await contestant.run()
  const thread = process.threadCpuUsage(threadBefore)
  const cpu = process.cpuUsage(processBefore)
  return {
    wall: Number(process.hrtime.bigint() - start) / 1e9,
    thread: (thread.user + thread.system) / 1e6,
    cpu: (cpu.user + cpu.system) / 1e6,
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? upper)) / 2
}

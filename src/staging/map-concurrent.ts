/** Many reads at once, but not all at once. */

/** How many objects are read from a volume at the same time. */
export const readConcurrency = 32

/**
 * `work(0) … work(count - 1)`, at most `limit` at a time, results in order. After a failure nothing
 * more is begun, and it rejects once what was begun has ended.
 */
export async function mapConcurrent<T>(
  count: number,
  limit: number,
  work: (index: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = []
  let next = 0
  let failure: { readonly error: unknown } | undefined
  const run = async (): Promise<void> => {
    while (next < count && failure === undefined) {
      const index = next++
      try {
        results[index] = await work(index)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, count) }, run))
  if (failure !== undefined) throw failure.error
  return results
}

/** Work of the engine that gets more of its memory as long as it is that which lacks. */
import { hasCode } from '../base/errors.ts'
import type { Engine } from './duckdb.ts'

/**
 * Runs `work` again with twice the memory each time it ends with ENGINE_OUT_OF_MEMORY, until the most
 * allowed is reached; every other failure ends it. `work` must leave nothing behind when it fails.
 */
export async function withEnoughMemory<Result>(
  engine: Pick<Engine, 'growMemory'>,
  work: () => Promise<Result>,
  onGrown?: (limitBytes: number) => void,
): Promise<Result> {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!hasCode(error, 'ENGINE_OUT_OF_MEMORY')) throw error
      const limitBytes = await engine.growMemory()
      if (limitBytes === undefined) throw error
      onGrown?.(limitBytes)
    }
  }
}

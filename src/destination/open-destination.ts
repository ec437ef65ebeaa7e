/** Opens the Delta table of a destination, whether it exists yet or not. */
import type { Clock } from '../base/clock.ts'
import { asSluiceError } from '../base/errors.ts'
import type { Failpoints } from '../base/failpoint.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import { openDeltaTable } from '../delta/open-delta-table.ts'
import type { Log } from '../observe/log.ts'
import type { ObjectStorage } from '../storage/object-storage.ts'

/** Reads nothing yet. */
export function openDestination(options: {
  readonly storage: ObjectStorage
  readonly root: string
  readonly clock: Clock
  readonly failpoints: Failpoints
  readonly log: Log
}): DeltaTable {
  const { storage, root, clock, failpoints, log } = options
  return openDeltaTable({
    storage,
    root,
    clock,
    failpoints,
    // Readers see a commit without it.
    checkpoints: 'later',
    onCheckpointFailed: (error, version) => {
      const { code, message } = asSluiceError(error)
      log.warn('checkpoint not written, the commit stands', { code, reason: message, version })
    },
  })
}

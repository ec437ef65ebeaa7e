/** The slot of a gateway that begins: made anew, or taken as a person made it. */
import type { SteadyClock } from '../../base/clock.ts'
import type { Log } from '../../observe/log.ts'
import type { Lsn } from './lsn.ts'
import {
  createSlot,
  type CreateSlotOptions,
  expectOfferedSlot,
  readSlot,
  removeLeftSlot,
} from './replication-slot.ts'

export interface StartSlotOptions extends CreateSlotOptions {
  readonly log: Log
  readonly clock: SteadyClock
  /** How long a reader that is just going may still hold it. */
  readonly waitMs: number
  /** A person named it: one that is there is read on. */
  readonly isChosen: boolean
}

export interface StartedSlot {
  /** From here it has everything. */
  readonly lsn: Lsn
  /** Now, so after the publication; else it may be older. */
  readonly isMade: boolean
}

export async function startSlot(how: StartSlotOptions): Promise<StartedSlot> {
  const { options, control, log, clock, name, waitMs, timeoutMs, isChosen } = how
  const { database } = options
  const found = await readSlot(control, name)
  if (found !== undefined && isChosen) {
    return { lsn: expectOfferedSlot(name, found, database), isMade: false }
  }
  if (found !== undefined) {
    log.warn('the replication slot existed before; it is made anew', { slot: name })
    await removeLeftSlot({ control, clock, name, database, waitMs, makingMs: timeoutMs })
  }
  return { lsn: await createSlot(how), isMade: true }
}

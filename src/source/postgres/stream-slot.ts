/** The slot that a stream reads from: whether it can, and why reading failed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SteadyClock } from '../../base/clock.ts'
import { SluiceError } from '../../base/errors.ts'
import type { PostgresOptions } from './connection-options.ts'
import type { Control } from './control.ts'
import type { Lsn } from './lsn.ts'
import {
  expectSlotReaches,
  readSlot,
  type SlotExpectation,
  takenError,
} from './replication-slot.ts'
import { sqlStateOf } from './server-error.ts'

export interface StreamSlot {
  readonly options: PostgresOptions
  readonly control: Control
  readonly clock: SteadyClock
  readonly slotName: string
  readonly publicationNames: readonly string[]
  /** How long a former reader of ours, or somebody else, may still hold the slot. */
  readonly slotWaitMs: number
}

function expected({ slotName, options }: StreamSlot, position: Lsn): SlotExpectation {
  return { name: slotName, position, database: options.database }
}

/** Throws unless the slot has everything after `from` and nobody else reads from it. */
export async function expectSlot(of: StreamSlot, from: Lsn, signal?: AbortSignal): Promise<void> {
  const { control, slotName, clock, slotWaitMs } = of
  const deadline = clock.elapsedMs() + slotWaitMs
  for (;;) {
    const found = await readSlot(control, slotName)
    const slot = expectSlotReaches(found, expected(of, from))
    if (slot.activePid === undefined || signal?.aborted === true) return
    if (clock.elapsedMs() >= deadline) throw await takenError(control, slotName, slot.activePid)
    await sleep(100)
  }
}

/** An error of the stream, told by the state of slot and publication rather than by its text. */
export async function explainStreamError(
  error: unknown,
  of: StreamSlot,
  from: Lsn,
): Promise<unknown> {
  const { control, slotName, publicationNames } = of
  const state = sqlStateOf(error)
  if (state === undefined || !['42704', '55000', '55006', '58P01'].includes(state)) return error
  try {
    const found = await readSlot(control, slotName)
    const slot = expectSlotReaches(found, expected(of, from))
    if (state === '55006' && slot.activePid !== undefined) {
      return await takenError(control, slotName, slot.activePid)
    }
  } catch (better) {
    return better
  }
  if (state !== '42704') return error
  return new SluiceError(
    'SOURCE_PUBLICATION_MISSING',
    `Publication "${publicationNames.join('" or "')}" did not exist at the place in the log that is being read`,
    {
      cause: error,
      remedy: 'The log cannot be read past that place. Run: sluice refresh --all --full',
    },
  )
}

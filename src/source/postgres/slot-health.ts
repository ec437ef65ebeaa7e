/** How much log the source keeps for our slot, and why it may send nothing. */
import { SluiceError } from '../../base/errors.ts'
import type { SourceHealth } from '../source.ts'
import type { Control } from './control.ts'
import { findStall } from './failover.ts'
import type { Lsn } from './lsn.ts'
import { readSlot } from './replication-slot.ts'

/** Throws SOURCE_LOG_LOST when the slot is gone. */
export async function slotHealth(control: Control, slotName: string): Promise<SourceHealth> {
  const slot = await readSlot(control, slotName)
  if (slot === undefined) {
    throw new SluiceError('SOURCE_LOG_LOST', `Slot "${slotName}" does not exist`)
  }
  const since = (lsn: Lsn | undefined): bigint =>
    lsn === undefined || lsn > slot.currentLsn ? 0n : slot.currentLsn - lsn
  return {
    retainedBytes: since(slot.restartLsn),
    budgetBytes: slot.safeBytes,
    lagBytes: since(slot.confirmedLsn),
    stall: await findStall(control, slot),
  }
}

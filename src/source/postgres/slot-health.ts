/** How much log the source keeps for our slot, why it may send nothing, and what is in danger. */
import { SluiceError } from '../../base/errors.ts'
import type { SourceHealth, SourceStall } from '../source.ts'
import type { Control } from './control.ts'
import { findStall } from './failover.ts'
import { type Lsn, zeroLsn } from './lsn.ts'
import { readSlot, slotLoss, type SlotState } from './replication-slot.ts'

/**
 * Before `silentTo` there is nothing for us that the slot's position does not cover. Throws
 * SOURCE_LOG_LOST when the slot is gone.
 */
export async function slotHealth(
  control: Control,
  slotName: string,
  silentTo: Lsn = zeroLsn,
): Promise<SourceHealth> {
  const slot = await readSlot(control, slotName)
  if (slot === undefined) {
    throw new SluiceError('SOURCE_LOG_LOST', `Slot "${slotName}" does not exist`)
  }
  const since = (lsn: Lsn | undefined): bigint =>
    lsn === undefined || lsn > slot.currentLsn ? 0n : slot.currentLsn - lsn
  return {
    retainedBytes: since(slot.restartLsn),
    budgetBytes: slot.safeBytes,
    lagBytes: since(
      slot.confirmedLsn !== undefined && slot.confirmedLsn < silentTo
        ? silentTo
        : slot.confirmedLsn,
    ),
    stall: (await findDanger(control, slotName, slot)) ?? (await findStall(control, slot)),
  }
}

/** Log that is not read yet is gone, or goes with the server's next checkpoint. */
export async function findDanger(
  control: Control,
  name: string,
  slot: SlotState,
): Promise<SourceStall | undefined> {
  const loss = slotLoss(slot)
  if (loss !== undefined) {
    const message = `Nothing more can be read from slot "${name}": ${loss.why}`
    return { code: 'SOURCE_LOG_LOST', message, remedy: loss.remedy }
  }
  if (slot.walStatus !== 'unreserved' && (slot.safeBytes ?? 1n) > 0n) return undefined
  const [row] = await control.query(`SELECT current_setting('max_slot_wal_keep_size') AS keep`)
  return {
    code: 'SOURCE_LOG_RETENTION',
    message: `The next checkpoint of the server may remove log that slot "${name}" needs: max_slot_wal_keep_size is ${row?.['keep'] ?? 'unknown'}, and it is used up`,
    remedy: `ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf();`,
  }
}

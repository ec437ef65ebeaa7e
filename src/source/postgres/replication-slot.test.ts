/** What the state of a slot means for one who has everything up to a position. */
import { describe, expect, test } from 'vitest'
import type { Lsn } from './lsn.ts'
import {
  expectOfferedSlot,
  expectSlotReaches,
  slotStranger,
  type SlotState,
} from './replication-slot.ts'

const lsn = (place: bigint): Lsn => place as Lsn

const healthy: SlotState = {
  plugin: 'pgoutput',
  type: 'logical',
  database: 'shop',
  activePid: undefined,
  walStatus: 'reserved',
  invalidation: undefined,
  restartLsn: lsn(90n),
  confirmedLsn: lsn(100n),
  safeBytes: undefined,
  currentLsn: lsn(200n),
  isFailover: false,
}

function reach(slot: SlotState | undefined, position: bigint): SlotState {
  return expectSlotReaches(slot, { name: 's', position: lsn(position), database: 'shop' })
}

const lost = expect.objectContaining({ code: 'SOURCE_LOG_LOST' }) as Error

describe('expectSlotReaches()', () => {
  test('goes on from any place between that of the slot and the end of the log', () => {
    for (const position of [100n, 150n, 200n]) expect(reach(healthy, position)).toBe(healthy)
  })

  test('trap: a slot one byte ahead of us has let go of something', () => {
    expect(() => reach(healthy, 99n)).toThrow(lost)
  })

  test('trap: a promoted server that does not have the slot has let go of the log', () => {
    const how = { name: 's', position: lsn(150n), database: 'shop', isPromoted: true }
    // The settings are those of 17 and newer; the command is for all.
    const remedy = expect.stringMatching(/17.*sync_replication_slots = on.*Run: sluice/s) as string
    expect(() => expectSlotReaches(undefined, how)).toThrow(
      expect.objectContaining({ code: 'SOURCE_LOG_LOST', remedy }) as Error,
    )
    expect(() => reach(undefined, 150n)).toThrow(lost)
  })

  test('trap: a log that ends before our data is not the one that we read', () => {
    expect(() => reach(healthy, 201n)).toThrow(
      expect.objectContaining({ code: 'SOURCE_INCARNATION_CHANGED' }) as Error,
    )
  })

  test('trap: a slot that somebody is just making has no position, and reaches nowhere', () => {
    expect(() => reach({ ...healthy, confirmedLsn: undefined }, 200n)).toThrow(lost)
    expect(() => expectOfferedSlot('s', { ...healthy, confirmedLsn: undefined }, 'shop')).toThrow(
      lost,
    )
  })

  test('trap: a slot of another kind or database under our name is not read', () => {
    const taken = expect.objectContaining({ code: 'SOURCE_SLOT_TAKEN' }) as Error
    const others = [{ type: 'physical' }, { plugin: 'test_decoding' }, { database: 'other' }]
    for (const other of others) {
      expect(() => reach({ ...healthy, ...other }, 150n)).toThrow(taken)
      expect(() => expectOfferedSlot('s', { ...healthy, ...other }, 'shop')).toThrow(taken)
    }
  })

  test('trap: a slot of another kind is named by what it has, and is not tried again', () => {
    const physical = slotStranger(
      's',
      { ...healthy, type: 'physical', plugin: '', database: '' },
      'shop',
    )
    expect(physical).toMatchObject({
      code: 'SOURCE_SLOT_TAKEN',
      message: 'Slot "s" exists and is another one: physical',
      retry: 'after-remedy',
    })
    expect(slotStranger('s', { ...healthy, database: 'other' }, 'shop')?.message).toBe(
      'Slot "s" exists and is another one: logical, plugin pgoutput, database other',
    )
    expect(slotStranger('s', healthy, 'shop')).toBeUndefined()
  })

  test('trap: whatever the server gave the slot up for, also what no version says yet', () => {
    const reasons = ['wal_removed', 'rows_removed', 'idle_timeout', 'something new']
    for (const invalidation of reasons) {
      const slot = { ...healthy, invalidation }
      expect(() => reach(slot, 150n)).toThrow(lost)
      expect(() => expectOfferedSlot('s', slot, 'shop')).toThrow(lost)
    }
    expect(() => reach({ ...healthy, walStatus: 'lost' }, 150n)).toThrow(lost)
  })
})

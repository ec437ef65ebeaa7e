import { expect, test } from 'vitest'
import {
  isFollowed,
  nextTableSync,
  tableSyncEvents,
  tableSyncStates,
  tableSyncTransitions,
} from './table-sync.ts'

test('the transition table: rows are states, columns events, · can not happen', () => {
  const short = { pending: 'P', snapshotting: 'S', 'catching-up': 'C', streaming: 'T', failed: 'F' }
  const rows = tableSyncStates.map((state) => {
    const cells = tableSyncEvents.map((event) => {
      const next = tableSyncTransitions[state][event]
      return next === undefined ? '·' : short[next]
    })
    return `${short[state]} ${cells.join('')}`
  })
  expect(tableSyncEvents.join(' ')).toBe(
    'copy-begun copy-lost copy-staged point-passed gap refused remedied',
  )
  expect(rows).toEqual([
    'P SP··PFP', //
    'S ·PC·PFS',
    'C ···TPFC',
    'T ···TPFT',
    'F ·F··FFP',
  ])
})

test('nextTableSync() throws where the table has nothing', () => {
  expect(() => nextTableSync('failed', 'copy-begun')).toThrow(RangeError)
})

test('changes are kept from the begin of a copy until something stops the table', () => {
  expect(tableSyncStates.filter(isFollowed)).toEqual(['snapshotting', 'catching-up', 'streaming'])
})

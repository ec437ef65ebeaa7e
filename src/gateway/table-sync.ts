/** The life of one table in a gateway: a total transition table, nothing else. */
import type { TableSyncState } from './gateway-status.ts'

export const tableSyncStates: readonly TableSyncState[] = [
  'pending',
  'snapshotting',
  'catching-up',
  'streaming',
  'failed',
]

export const tableSyncEvents = [
  /** A copy was begun and is on record; from here the stream's changes are kept. */
  'copy-begun',
  /** The copy in progress can not be finished (cut connection, lost snapshot). */
  'copy-lost',
  /** Every chunk of the copy is staged. */
  'copy-staged',
  /** The staged position is past the copy's point. */
  'point-passed',
  /** The table can not be continued (gap, new schema, full refresh): it is copied anew. */
  'gap',
  /** A person has to act first. */
  'refused',
  /** What was wrong is no longer so, or a person asked for a new try. */
  'remedied',
] as const

export type TableSyncEvent = (typeof tableSyncEvents)[number]

/** `undefined`: can not happen; asking for it is a defect. */
export const tableSyncTransitions: Readonly<
  Record<TableSyncState, Readonly<Record<TableSyncEvent, TableSyncState | undefined>>>
> = {
  pending: {
    'copy-begun': 'snapshotting',
    'copy-lost': 'pending',
    'copy-staged': undefined,
    'point-passed': undefined,
    gap: 'pending',
    refused: 'failed',
    remedied: 'pending',
  },
  snapshotting: {
    'copy-begun': undefined,
    'copy-lost': 'pending',
    'copy-staged': 'catching-up',
    'point-passed': undefined,
    gap: 'pending',
    refused: 'failed',
    remedied: 'snapshotting',
  },
  'catching-up': {
    'copy-begun': undefined,
    'copy-lost': undefined,
    'copy-staged': undefined,
    'point-passed': 'streaming',
    gap: 'pending',
    refused: 'failed',
    remedied: 'catching-up',
  },
  streaming: {
    'copy-begun': undefined,
    'copy-lost': undefined,
    'copy-staged': undefined,
    'point-passed': 'streaming',
    gap: 'pending',
    refused: 'failed',
    remedied: 'streaming',
  },
  failed: {
    'copy-begun': undefined,
    'copy-lost': 'failed',
    'copy-staged': undefined,
    'point-passed': undefined,
    gap: 'failed',
    refused: 'failed',
    remedied: 'pending',
  },
}

export function nextTableSync(state: TableSyncState, event: TableSyncEvent): TableSyncState {
  const next = tableSyncTransitions[state][event]
  if (next === undefined) throw new RangeError(`a ${state} table can not meet ${event}`)
  return next
}

/** True when the stream's changes of the table are kept. */
export function isFollowed(state: TableSyncState): boolean {
  return state === 'snapshotting' || state === 'catching-up' || state === 'streaming'
}

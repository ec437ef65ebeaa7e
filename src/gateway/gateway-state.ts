/** The life of one gateway: a total transition table, nothing else. */

export const gatewayStates = [
  'idle',
  'starting',
  'running',
  'backing-off',
  'stopping',
  'stopped',
  'failed',
] as const

/**
 * idle: `run` was not called · starting: finds tables, proves the log · running: the stream is read ·
 * backing-off: waits after an error that may pass · stopping: stages what it has · stopped: done ·
 * failed: needs a person.
 */
export type GatewayState = (typeof gatewayStates)[number]

export const gatewayEvents = [
  /** A session begins: the first one, after a pause, or because the tables changed. */
  'start',
  /** The source is ready, the stream is being read. */
  'ready',
  /** Something went wrong that may pass. */
  'error',
  /** Asked to end, or all work that was asked for is read. */
  'stop',
  /** Everything is staged and acknowledged. */
  'done',
  /** Something went wrong that will not pass. */
  'give-up',
] as const

export type GatewayEvent = (typeof gatewayEvents)[number]

/** `undefined`: can not happen; asking for it is a defect. */
export const gatewayTransitions: Readonly<
  Record<GatewayState, Readonly<Record<GatewayEvent, GatewayState | undefined>>>
> = {
  idle: row({ start: 'starting', stop: 'stopping', 'give-up': 'failed' }),
  starting: row({
    start: 'starting',
    ready: 'running',
    error: 'backing-off',
    stop: 'stopping',
    'give-up': 'failed',
  }),
  running: row({
    start: 'starting',
    ready: 'running',
    error: 'backing-off',
    stop: 'stopping',
    'give-up': 'failed',
  }),
  'backing-off': row({
    start: 'starting',
    error: 'backing-off',
    stop: 'stopping',
    'give-up': 'failed',
  }),
  stopping: row({ stop: 'stopping', done: 'stopped', error: 'backing-off', 'give-up': 'failed' }),
  stopped: row({ start: 'starting', stop: 'stopping' }),
  failed: row({ start: 'starting', stop: 'stopping' }),
}

type Row = Readonly<Record<GatewayEvent, GatewayState | undefined>>

function row(possible: Partial<Record<GatewayEvent, GatewayState>>): Row {
  return {
    start: possible.start,
    ready: possible.ready,
    error: possible.error,
    stop: possible.stop,
    done: possible.done,
    'give-up': possible['give-up'],
  }
}

export function nextGatewayState(state: GatewayState, event: GatewayEvent): GatewayState {
  const next = gatewayTransitions[state][event]
  if (next === undefined) throw new RangeError(`a gateway that is ${state} can not meet ${event}`)
  return next
}

/** Time as an argument: production passes `systemClock`, tests a clock they turn by hand. */
export interface Clock {
  /** Milliseconds since 1970-01-01T00:00:00Z. May jump, either way, when somebody sets the clock. */
  nowMs(): number
}

/** Also measures how long something took or still may take, which a jump must not change. */
export interface SteadyClock extends Clock {
  /** Milliseconds since some moment before the first call; never jumps. */
  elapsedMs(): number
}

export const systemClock: SteadyClock = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
}

/**
 * Structured log: one line per state change or per batch, never a row value or a secret.
 * Production wires a writer of JSON lines or of human lines; tests pass a collector.
 */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** What every line has itself: a field of that name would be lost. */
type OwnField = 'at' | 'level' | 'message'

export type LogFields = Readonly<Record<string, string | number | bigint | boolean | undefined>> & {
  readonly [name in OwnField]?: never
}

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log whose every line also carries `fields`. */
  child(fields: LogFields): Log
}

const levels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A log that hands every line at or above `minimum` to `write`. */
export function createLog(
  write: (level: LogLevel, message: string, fields: LogFields) => void,
  minimum: LogLevel = 'info',
  context: LogFields = {},
): Log {
  const from = levels.indexOf(minimum)
  const emit = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    if (levels.indexOf(level) >= from) write(level, message, { ...context, ...fields })
  }
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    child: (fields) => createLog(write, minimum, { ...context, ...fields }),
  }
}

export const silentLog: Log = createLog(() => undefined, 'error')

/** The two production logs: JSON lines for machines, plain lines for people. */
import type { Clock } from '../base/clock.ts'
import { toJsonLine } from './json-line.ts'
import { createLog, type Log, type LogFields, type LogLevel } from './log.ts'

export interface LogWriterOptions {
  /** Gets whole lines, without the line feed. */
  readonly writeLine: (line: string) => void
  readonly clock: Clock
  readonly minimum: LogLevel
}

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** `{"at":"2026-01-31T12:00:00.000Z","level":"info","message":"...", ...fields}` */
export function createJsonLog({ writeLine, clock, minimum }: LogWriterOptions): Log {
  return createLog((level, message, fields) => {
    const at = new Date(clock.nowMs()).toISOString()
    // Our own keys come last: a field of the same name must not replace them.
    const own = { at, level, message }
    writeLine(toJsonLine({ ...own, ...fields, ...own }))
  }, minimum)
}

/** `12:00:00 warn  message  key=value` */
export function createHumanLog({ writeLine, clock, minimum }: LogWriterOptions): Log {
  return createLog((level, message, fields) => {
    const time = new Date(clock.nowMs()).toISOString().slice(11, 19)
    writeLine(`${time} ${level.padEnd(5)} ${singleLine(message)}${formatFields(fields)}`)
  }, minimum)
}

function formatFields(fields: LogFields): string {
  return Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `  ${key}=${formatValue(String(value))}`)
    .join('')
}

function formatValue(text: string): string {
  return /^[\w.:/+-]+$/.test(text) ? text : JSON.stringify(text)
}

/** A message must not be able to pretend to be another line, or to move the cursor. */
function singleLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f]+/g, ' ')
}

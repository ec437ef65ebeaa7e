/** What a command is, and what it gets when it is called. */
import type { Clock } from '../base/clock.ts'
import { SluiceError } from '../base/errors.ts'
import type { App, AppOptions } from './app.ts'
import type { Output } from './output.ts'

/** 0: all asked-for work is done · 1: work failed · 2: bad usage or configuration. */
export type ExitCode = 0 | 1 | 2

export interface OptionDefinition {
  readonly type: 'string' | 'boolean'
  /** What stands for the value in the help: `DIR`. */
  readonly value?: string
  readonly help: string
}

export interface CommandCall {
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  readonly positionals: readonly string[]
  readonly output: Output
  readonly env: Readonly<Record<string, string | undefined>>
  readonly clock: Clock
  /** Aborted by the first signal: stop cleanly. */
  readonly signal: AbortSignal
  /** How this person calls the program: `sluice`, or `npm run -s sluice --` in a checkout. */
  readonly program: string
  readonly dataFolder: string
  /** Opens the product, and closes it whatever happens. */
  withApp<T>(catalog: AppOptions['catalog'], work: (app: App) => Promise<T>): Promise<T>
}

export interface Command {
  readonly name: string
  /** After the name: `FILE [--once]`. */
  readonly usage: string
  readonly summary: string
  /** Paragraphs of the help. */
  readonly help: readonly string[]
  readonly options: Readonly<Record<string, OptionDefinition>>
  readonly minimumPositionals: number
  readonly maximumPositionals: number
  run(call: CommandCall): Promise<ExitCode>
}

function textOption(call: CommandCall, name: string): string | undefined {
  const value = call.options[name]
  return typeof value === 'string' ? value : undefined
}

export function flag(call: CommandCall, name: string): boolean {
  return call.options[name] === true
}

/** A number from `minimum` to `maximum`; throws CONFIG_USAGE. */
export function numberOption(
  call: CommandCall,
  name: string,
  range: { readonly minimum: number; readonly maximum: number; readonly fallback: number },
): number {
  const text = textOption(call, name)
  if (text === undefined) return range.fallback
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (number >= range.minimum && number <= range.maximum) return number
  throw new SluiceError(
    'CONFIG_USAGE',
    `--${name} ${JSON.stringify(text)} is not a number from ${range.minimum} to ${range.maximum}`,
  )
}

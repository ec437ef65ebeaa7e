/**
 * Coded errors. Every error a person can meet has a stable readable code, a message that
 * carries the actual value, a remedy and a retry policy. Codes are declared once, in
 * `error-codes/`; `docs/errors.md` is generated from those tables.
 */
import { errorTable, type ErrorCode } from './error-codes.ts'

/**
 * What a supervisor does with an error.
 * - `backoff`: the cause may pass by itself; try again with growing pauses.
 * - `after-remedy`: a person has to act first.
 * - `never`: a defect or a refused request; trying again gives the same result.
 */
export type RetryPolicy = 'backoff' | 'after-remedy' | 'never'

/** One line of an error table. */
export interface ErrorDefinition {
  /** One sentence: when this happens. Goes to `docs/errors.md`. */
  readonly when: string
  /** What to do about it, in one or two sentences; may be replaced by a concrete statement. */
  readonly remedy: string
  readonly retry: RetryPolicy
  /** Process exit code when a command ends with it: 1 failed work, 2 bad usage or configuration. */
  readonly exitCode: 1 | 2
}

export interface SluiceErrorOptions {
  readonly cause?: unknown
  /** Replaces the table's remedy, for example with the exact statement to run. */
  readonly remedy?: string
  /** Replaces the table's policy, where the case at hand decides it. */
  readonly retry?: RetryPolicy
}

/** The one error class of the product. Switch on `code`, never on text. */
export class SluiceError extends Error {
  override readonly name = 'SluiceError'
  readonly code: ErrorCode
  readonly remedy: string
  readonly retry: RetryPolicy
  readonly exitCode: 1 | 2

  /** `message` names the actual value that was met. It never holds a secret or a row value. */
  constructor(code: ErrorCode, message: string, options: SluiceErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    const definition: ErrorDefinition = errorTable[code]
    this.code = code
    this.remedy = options.remedy ?? definition.remedy
    this.retry = options.retry ?? definition.retry
    this.exitCode = definition.exitCode
  }
}

/** What is said of an error where it is no exception: in a status, a report, a file. */
export interface Trouble {
  readonly code: string
  readonly message: string
  readonly remedy: string
}

export function troubleOf({ code, message, remedy }: SluiceError): Trouble {
  return { code, message, remedy }
}

/** True when `error` is ours and carries `code`. */
export function hasCode(error: unknown, code: ErrorCode): error is SluiceError {
  return error instanceof SluiceError && error.code === code
}

/** Any thrown value as a SluiceError; what is not ours becomes INTERNAL_ERROR with its cause. */
export function asSluiceError(error: unknown): SluiceError {
  if (error instanceof SluiceError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new SluiceError('INTERNAL_ERROR', text, { cause: error })
}

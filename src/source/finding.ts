/** An unmet (or met) requirement of a source, as `check` prints it. */
import type { ErrorCode } from '../base/error-codes.ts'
import type { RetryPolicy } from '../base/errors.ts'

export interface Finding {
  readonly severity: 'ok' | 'warning' | 'error'
  /** For warnings and errors: the code the same trouble has at run time. */
  readonly code?: ErrorCode
  /** Replaces the policy of the code, where the case at hand decides it. */
  readonly retry?: RetryPolicy
  /** What was looked at, in a few words: `wal_level`. */
  readonly subject: string
  /** What was found, with the actual value. */
  readonly message: string
  /** The statement that fixes it, ready to paste; with ok only what is optional. */
  readonly remedy?: string
  /** `schema.table` when it concerns one table only. */
  readonly table?: string
  /** `schema.table` of each when it concerns several tables and nothing else. */
  readonly tables?: readonly string[]
}

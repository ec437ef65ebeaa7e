/** How the checks of a server say what they found. */
import type { ErrorCode } from '../../base/error-codes.ts'
import type { Finding } from '../finding.ts'

export function ok(subject: string, message: string): Finding {
  return { severity: 'ok', subject, message }
}

/** `remedy` is the statement or command to run, for exactly this case. */
export function unmet(
  severity: 'warning' | 'error',
  code: ErrorCode,
  subject: string,
  message: string,
  remedy: string,
): Finding {
  return { severity, code, subject, message, remedy }
}

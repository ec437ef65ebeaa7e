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

/** What several tables lack is one finding for all of them; what one lacks is its own. */
export function unmetByTables(
  finding: { readonly code: ErrorCode; readonly remedy: string },
  tables: readonly string[],
  words: { readonly one: string; readonly several: string; readonly subject: string },
): Finding[] {
  const [table, ...others] = tables
  if (table === undefined) return []
  const { one, several, subject } = words
  if (others.length > 0)
    return [{ severity: 'error', ...finding, subject, message: several, tables }]
  return [{ severity: 'error', ...finding, subject: 'table', message: one, table }]
}

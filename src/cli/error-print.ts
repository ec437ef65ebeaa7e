/** Errors as a person reads them: code, message, what to do, and for the resource file the place. */
import type { SluiceError } from '../base/errors.ts'
import { formatPlace, type ConfigProblem } from '../catalog/config-problem.ts'
import type { Problem } from './app.ts'
import type { Output } from './output.ts'
import { countOf, printable } from './text.ts'

/** Keeps a remedy of several statements readable, one per line. */
export function remedyLines(remedy: string): readonly string[] {
  const [first, ...rest] = remedy.split('\n').map(printable)
  return [`  what to do: ${first ?? ''}`, ...rest.map((line) => `              ${line}`)]
}

export function printError(output: Output, error: SluiceError): void {
  const { code, message, remedy } = error
  if (output.format === 'json') output.event('error', { code, message, remedy })
  else printProblem(output, { code, message, remedy })
}

/** In human format only. A message that begins with `subject` names it itself. */
export function printProblem(
  output: Output,
  problem: Problem,
  subject?: string,
  severity: 'error' | 'note' = 'error',
): void {
  const isNamed = subject === undefined || problem.message.startsWith(subject)
  const where = isNamed ? '' : `${printable(subject)}: `
  output.note(
    `${output.style(severity === 'error' ? 'red' : 'yellow', `${severity} ${problem.code}`)}: ${where}${printable(problem.message)}`,
  )
  for (const line of remedyLines(problem.remedy)) output.note(line)
}

/** Errors and warnings of a resource file, in its order. */
export function printConfigProblems(output: Output, problems: readonly ConfigProblem[]): void {
  for (const problem of problems) {
    const { severity, code, message, remedy } = problem
    if (output.format === 'json') {
      const { file, line, column, path } = problem
      const place = { file, line, column, key: path }
      output.event(severity, { code, message, remedy, ...place })
      continue
    }
    const label = output.style(severity === 'error' ? 'red' : 'yellow', `${severity} ${code}`)
    output.note(`${printable(formatPlace(problem))}: ${label}: ${printable(message)}`)
    if (severity === 'error') for (const line of remedyLines(remedy)) output.note(line)
  }
  const count = problems.filter(({ severity }) => severity === 'error').length
  if (count > 0 && output.format === 'human') output.note(countOf(count, 'error'))
}

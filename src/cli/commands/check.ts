/** `sluice check FILE`: every unmet requirement at once, each with the statement that fixes it. */
import type { Finding } from '../../source/finding.ts'
import type { CheckReport } from '../app.ts'
import type { Command } from '../command.ts'
import { loadResources } from '../load-resources.ts'
import type { Output } from '../output.ts'
import { countOf, printable } from '../text.ts'

export const checkCommand: Command = {
  name: 'check',
  usage: 'FILE',
  summary: 'Check a resource file and everything its sources need.',
  help: [
    'Reads FILE, connects to its sources and lists every requirement, met or not, with the statement',
    'that fixes it; what is not met comes last. Changes nothing. Exit code 0: all requirements are',
    'met.',
  ],
  options: {},
  minimumPositionals: 1,
  maximumPositionals: 1,
  run: async (call) => {
    const resources = await loadResources(call)
    if (resources === undefined) return 2
    const { output } = call
    return await call.withApp('none', async (app) => {
      const reports = await app.check(resources, call.signal)
      printReports(output, reports)
      const all = reports.flatMap(({ findings }) => findings)
      const errors = all.filter(({ severity }) => severity === 'error').length
      const warnings = all.filter(({ severity }) => severity === 'warning').length
      output.event('checked', { requirements: all.length, errors, warnings })
      if (output.format === 'human') {
        output.line(
          errors === 0
            ? output.style('green', `ready: ${countOf(all.length, 'requirement')} looked at`)
            : output.style('red', `${countOf(errors, 'requirement')} not met`),
        )
      }
      return errors === 0 ? 0 : 1
    })
  },
}

const labels = {
  ok: ['ok', 'green'],
  warning: ['warning', 'yellow'],
  error: ['error', 'red'],
} as const

/**
 * What is not met stands at the end, where a terminal still shows it: the optional script, which
 * comes with a requirement that is met, is longer than a screen.
 */
function printReports(output: Output, reports: readonly CheckReport[]): void {
  if (output.format === 'json') {
    for (const { gateway, findings } of reports) {
      for (const finding of findings) output.event('finding', { gateway, ...finding })
    }
    return
  }
  const isError = ({ severity }: Finding): boolean => severity === 'error'
  const parts = [
    ...reports.map(({ gateway, findings }) => {
      const others = findings.filter((finding) => !isError(finding))
      return { gateway, findings: others.toSorted((a, b) => rankOf(a) - rankOf(b)) }
    }),
    ...reports.map(({ gateway, findings }) => ({ gateway, findings: findings.filter(isError) })),
  ].filter(({ findings }) => findings.length > 0)
  let told: string | undefined
  for (const { gateway, findings } of parts) {
    if (gateway !== told) output.line(output.style('bold', `gateway ${gateway}`))
    told = gateway
    for (const finding of findings) printFinding(output, finding)
  }
}

function rankOf({ severity, remedy }: Finding): number {
  if (severity === 'warning') return 2
  return remedy === undefined ? 0 : 1
}

function printFinding(output: Output, finding: Finding): void {
  const [word, colour] = labels[finding.severity]
  const subject =
    finding.table === undefined ? finding.subject : `${finding.table} ${finding.subject}`
  const label = output.style(colour, word.padEnd(8))
  output.line(`  ${label} ${printable(subject)}: ${printable(finding.message)}`)
  for (const line of (finding.remedy ?? '').split('\n')) {
    if (line !== '') output.line(`             ${printable(line)}`)
  }
}

/** `sluice check FILE`: every unmet requirement at once, each with the statement that fixes it. */
import type { Finding } from '../../source/finding.ts'
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
    'that fixes it. Changes nothing. Exit code 0: all requirements are met.',
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
      for (const { gateway, findings } of reports) {
        if (output.format === 'human') output.line(output.style('bold', `gateway ${gateway}`))
        for (const finding of findings) printFinding(output, gateway, finding)
      }
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

function printFinding(output: Output, gateway: string, finding: Finding): void {
  if (output.format === 'json') {
    output.event('finding', { gateway, ...finding })
    return
  }
  const [word, colour] = labels[finding.severity]
  const subject =
    finding.table === undefined ? finding.subject : `${finding.table} ${finding.subject}`
  const label = output.style(colour, word.padEnd(8))
  output.line(`  ${label} ${printable(subject)}: ${printable(finding.message)}`)
  for (const line of (finding.remedy ?? '').split('\n')) {
    if (line !== '') output.line(`             ${printable(line)}`)
  }
}

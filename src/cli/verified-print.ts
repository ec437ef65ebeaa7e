/** How a verified table is shown; by `verify` and by `quickstart`. */
import type { VerifiedTable } from './app.ts'
import { printProblem } from './error-print.ts'
import type { Output } from './output.ts'
import { formatCount, printable } from './text.ts'

export function printVerified(output: Output, table: VerifiedTable): void {
  if (output.format === 'json') {
    output.event('verified', { ...table })
    return
  }
  if (table.problem !== undefined) {
    printProblem(output, table.problem, table.destination)
    return
  }
  const { missing, extra, different } = table
  const symbols = output.hasUnicode ? ['✓', '✗'] : ['+', '!']
  const verdict = table.isEqual
    ? output.style('green', `${symbols[0]} equal`)
    : output.style('red', `${symbols[1]} differs`)
  const differences = table.isEqual
    ? ''
    : `, ${formatCount(missing)} missing, ${formatCount(extra)} too many, ${formatCount(different)} different`
  const rows =
    table.sourceRows === table.destinationRows
      ? `${formatCount(table.sourceRows)} rows`
      : `${formatCount(table.sourceRows)} rows in the source, ${formatCount(table.destinationRows)} here`
  const version = table.version === undefined ? '' : ` at version ${table.version}`
  output.line(`${verdict}  ${printable(table.destination)}${version}: ${rows}${differences}`)
  for (const { key, kind } of table.differences) output.line(`    ${kind}: ${printable(key)}`)
}

/** True for a table that is proven equal. */
export function isProven(table: VerifiedTable): boolean {
  return table.isEqual && table.problem === undefined
}

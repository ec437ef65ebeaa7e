/** How a verified table is shown; by `verify` and by `quickstart`. */
import type { VerifiedTable } from './app.ts'
import { printProblem } from './error-print.ts'
import type { Output } from './output.ts'
import { countOf, formatCount, printable } from './text.ts'

export function printVerified(output: Output, table: VerifiedTable): void {
  if (output.format === 'json') {
    output.event('verified', { ...table })
    return
  }
  if (table.problem !== undefined) {
    printProblem(output, table.problem, table.destination)
    return
  }
  if (table.isGone === true) {
    const name = printable(table.destination)
    output.line(`${output.style('bold', '- gone at the source, not compared')}  ${name}`)
    return
  }
  if (table.isLeft === true) {
    const text = '- nothing leads to it any more, not compared'
    output.line(`${output.style('bold', text)}  ${printable(table.destination)}`)
    return
  }
  if (table.withdrawn !== undefined) {
    const text = `- pipeline ${printable(table.withdrawn)} is not in the file any more, not compared`
    output.line(`${output.style('bold', text)}  ${printable(table.destination)}`)
    return
  }
  const { missing, extra, different, insertsOnly } = table
  if (insertsOnly !== undefined) {
    printInsertsOnly(output, table, insertsOnly)
    return
  }
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
  if (table.heldBack === undefined) return
  const { table: quarantine, rows: held, remedy } = table.heldBack
  output.line(
    `    ${countOf(Number(held), 'row')} changed while in ${printable(quarantine)}, by updates that kept a large value: not here though such a row may fit by now. Once corrected in the source, run: ${remedy}`,
  )
}

function printInsertsOnly(
  output: Output,
  table: VerifiedTable,
  { kind, unmatched, others }: NonNullable<VerifiedTable['insertsOnly']>,
): void {
  const symbols = output.hasUnicode ? ['✓', '✗'] : ['+', '!']
  const [verdict, text] =
    kind === 'complete'
      ? [
          output.style('green', `${symbols[0]} complete`),
          `every row of the source is here; ${formatCount(others)} more are not there as they came: changed or deleted since, or twice here, which inserts alone cannot tell`,
        ]
      : kind === 'not comparable'
        ? [
            output.style('bold', '? not comparable'),
            `${formatCount(unmatched)} rows of the source are not here as they are now: changed since they came, or lost, which inserts alone cannot tell; ${formatCount(others)} rows here are not there as they came`,
          ]
        : [
            output.style('red', `${symbols[1]} differs`),
            `${formatCount(table.missing)} rows at least are missing here`,
          ]
  const version = table.version === undefined ? '' : ` at version ${table.version}`
  output.line(
    `${verdict}  ${printable(table.destination)}${version}: only inserts are followed; of ${formatCount(table.sourceRows)} rows in the source and ${formatCount(table.destinationRows)} here: ${text}`,
  )
}

/** True for a table of which nothing that can be compared differs. */
export function isWithoutDifference(table: VerifiedTable): boolean {
  const { insertsOnly, problem } = table
  if (problem !== undefined) return false
  return (
    table.isEqual ||
    table.isGone === true ||
    table.isLeft === true ||
    table.withdrawn !== undefined ||
    (insertsOnly !== undefined && insertsOnly.kind !== 'lost')
  )
}

/** True for a table that is proven equal. */
export function isProven(table: VerifiedTable): boolean {
  return table.isEqual && table.problem === undefined
}

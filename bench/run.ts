/**
 * `npm run bench [name…] [-- --rows=N --rounds=N]`: runs the named benches, or all, and prints one
 * table. A bench is a module of this folder that exports `run`; it is known by its file's name.
 */
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { Bench, Measurement } from './support/measure.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rows: { type: 'string' }, rounds: { type: 'string' } },
})
const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text)
const rows = numberOf(values.rows)
const rounds = numberOf(values.rounds)

const known = readdirSync(new URL('.', import.meta.url))
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && file !== 'run.ts')
  .map((file) => file.slice(0, -3))
const unknown = positionals.filter((name) => !known.includes(name))
if (unknown.length > 0) {
  console.error(`no bench "${unknown.join('", "')}"; there are: ${known.join(', ')}`)
  process.exit(2)
}

const format = (value: number): string =>
  value < 1000 ? value.toPrecision(3) : Math.round(value).toLocaleString('en-US')

function line(measurement: Measurement): string[] {
  const { name, value, unit, limit, limitName, goal } = measurement
  const shown = limit === undefined ? '' : `${format(limit)} (${limitName ?? ''})`
  const ratio = limit === undefined ? '' : (value / limit).toFixed(2)
  return [ratio, name, `${format(value)} ${unit}`, shown, goal ?? '']
}

function printTable(lines: readonly (readonly string[])[]): void {
  const all = [['ratio', 'name', 'value', 'raw limit', 'goal'], ...lines]
  const widths = [0, 1, 2, 3, 4].map((column) =>
    Math.max(...all.map((cells) => cells[column]?.length ?? 0)),
  )
  const text = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  console.log(text(all[0] ?? []))
  console.log(`|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`)
  for (const cells of lines) console.log(text(cells))
}

console.log(
  `node ${process.version}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}`,
)
const lines: string[][] = []
for (const name of positionals.length > 0 ? positionals : known) {
  const module = (await import(`./${name}.ts`)) as { readonly run: Bench }
  const say = (text: string): void => console.log(`${name}: ${text}`)
  for (const measurement of await module.run({ rows, rounds, say })) lines.push(line(measurement))
}
printTable(lines)

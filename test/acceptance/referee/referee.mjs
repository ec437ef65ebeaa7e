/**
 * Reads a Delta table with ClickHouse and the official Delta kernel, knowing nothing of our code.
 *
 * usage: referee.mjs <table folder> [--hex <column>]... [--where <condition>] [--saturate]
 *
 * First line: `{"columns":[[name, type], …]}`. Then one line per row, an array of exact texts or
 * null in the order of the columns, sorted; binary columns (`--hex`) in hexadecimal. Last line:
 * `{"rows":n,"sha256":"…"}` over the row lines. Dates outside 1900 to 2299 are an error; with
 * `--saturate` they become 1900-01-01 and 2300-01-01.
 */
import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { query } from 'chdb'

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    hex: { type: 'string', multiple: true, default: [] },
    where: { type: 'string', default: 'true' },
    saturate: { type: 'boolean', default: false },
  },
})
const [folder] = positionals
if (folder === undefined || positionals.length > 1) {
  process.stderr.write(
    'usage: referee.mjs <table folder> [--hex <column>]... [--where <condition>] [--saturate]\n',
  )
  process.exit(2)
}

// The reader may open only what lies below the working directory.
const table = resolve(folder)
process.chdir(dirname(table))
const source = `deltaLakeLocal('${table.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}')`

// Its count ignores deletion vectors when it is answered from statistics alone.
const settings = [
  'optimize_trivial_count_query = 0',
  'output_format_json_quote_64bit_integers = 1',
  'output_format_json_quote_denormals = 1',
  ...(values.saturate ? ["date_time_overflow_behavior = 'saturate'"] : []),
].join(', ')

const lines = (sql) =>
  String(query(`${sql} SETTINGS ${settings}`, 'JSONCompactEachRow'))
    .split('\n')
    .filter((line) => line !== '')

const columns = lines(`DESCRIBE TABLE ${source}`).map((line) => JSON.parse(line).slice(0, 2))
const quote = (name) => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
const cells = columns.map(([name, type]) => {
  if (values.hex.includes(name)) return `lower(hex(${quote(name)}))`
  const scale = /Decimal\(\d+, (\d+)\)/.exec(type)?.[1]
  if (scale !== undefined && !type.startsWith('Array(')) {
    return `toDecimalString(${quote(name)}, ${scale})`
  }
  // An array can not be made text without quoting rules: JSON says it exactly.
  return type.startsWith('Array(') ? quote(name) : `toString(${quote(name)})`
})

process.stdout.write(`${JSON.stringify({ columns })}\n`)
const rows = lines(`SELECT ${cells.join(', ')} FROM ${source} WHERE ${values.where}`).toSorted()
const hash = createHash('sha256')
for (const row of rows) {
  process.stdout.write(`${row}\n`)
  hash.update(`${row}\n`)
}
process.stdout.write(`${JSON.stringify({ rows: rows.length, sha256: hash.digest('hex') })}\n`)

/** Runs the independent Delta reader of `test/acceptance/referee` as a child process. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const referee = fileURLToPath(new URL('../acceptance/referee', import.meta.url))

/** Text of a cell, NULL, or an array of cells. A NULL array comes as an empty one. */
export type RefereeCell = string | number | null | readonly RefereeCell[]

export interface RefereeTable {
  /** ClickHouse types by column name, in order. */
  readonly columns: readonly (readonly [string, string])[]
  /** Sorted by their JSON text. */
  readonly rows: readonly (readonly RefereeCell[])[]
  /** Over the rows, independent of their order. */
  readonly sha256: string
}

export interface RefereeOptions {
  /** Binary columns: their cells come in lower-case hexadecimal. */
  readonly hexColumns?: readonly string[]
  /** A condition in ClickHouse SQL. Files are skipped by their statistics where it allows. */
  readonly where?: string
  /** Dates before 1900 come as 1900-01-01, those after 2299 as 2300-01-01; else they are an error. */
  readonly saturate?: boolean
}

export function isRefereeInstalled(): boolean {
  return existsSync(`${referee}/node_modules/chdb`)
}

/** All rows of the table in `folder`, latest version. Fails when the reader is not installed. */
export async function readWithReferee(
  folder: string,
  options: RefereeOptions = {},
): Promise<RefereeTable> {
  if (!isRefereeInstalled()) {
    throw new Error('the referee is not installed: run scripts/install-referee.sh')
  }
  const hex = (options.hexColumns ?? []).flatMap((name) => ['--hex', name])
  const saturate = options.saturate === true ? ['--saturate'] : []
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`${referee}/referee.mjs`, folder, ...hex, '--where', options.where ?? 'true', ...saturate],
    { maxBuffer: 2 ** 30, env: { ...process.env, TZ: 'UTC' } },
  )
  const lines = stdout.trimEnd().split('\n')
  const { columns } = JSON.parse(lines[0] ?? '') as Pick<RefereeTable, 'columns'>
  const { sha256 } = JSON.parse(lines.at(-1) ?? '') as Pick<RefereeTable, 'sha256'>
  const rows = lines.slice(1, -1).map((line) => JSON.parse(line) as RefereeTable['rows'][number])
  return { columns, rows, sha256 }
}

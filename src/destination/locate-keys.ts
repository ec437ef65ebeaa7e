/** Where the changed keys stand in the table's files: positions to be marked deleted. */
import type { EngineStatements } from '../engine/duckdb.ts'
import { int32Column, int64Column } from '../engine/result-columns.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import { fileColumn, positionColumn, positionedScanSql } from './scan.ts'
import { keyNumberColumn, type ReducedChanges } from './reduce-changes.ts'

export interface LocateInput {
  /** Local paths of the files that may hold the keys. */
  readonly paths: readonly string[]
  readonly key: readonly string[]
  /** All columns of the table. */
  readonly tableColumns: readonly string[]
  readonly reduced: ReducedChanges
  /** Whether the caller needs to know which key stands where. */
  readonly withKeyNumbers: boolean
}

/** Rows of one file whose key was changed; rows that are already dead may be among them. */
export interface LocatedRows {
  /** Index in `paths`. */
  readonly file: number
  /** Ascending. */
  readonly positions: BigUint64Array
  /** Number of the key at each position; only when asked for. */
  readonly keys: BigInt64Array | undefined
}

/** Files without such rows are left out; ascending by file. */
export async function locateKeys(
  engine: EngineStatements,
  input: LocateInput,
): Promise<readonly LocatedRows[]> {
  if (input.paths.length === 0 || input.reduced.keyCount === 0) return []
  const { key, reduced, withKeyNumbers } = input
  const using = key.map(quoteIdentifier).join(', ')
  const scan = positionedScanSql(input.paths, key, input.tableColumns)
  const [file, position] = [quoteIdentifier(fileColumn), quoteIdentifier(positionColumn)]
  const result = await engine.columns(
    withKeyNumbers
      ? `SELECT ${file}, ${position}, ${keyNumberColumn}
         FROM ${scan} JOIN ${reduced.latest} USING (${using}) ORDER BY ALL`
      : `SELECT ${file}, ${position}
         FROM ${scan} SEMI JOIN ${reduced.latest} USING (${using}) ORDER BY ALL`,
  )
  const files = int32Column(result, 0)
  const positions = int64Column(result, 1)
  const keys = withKeyNumbers ? int64Column(result, 2) : undefined
  const located: LocatedRows[] = []
  for (let start = 0; start < result.rowCount;) {
    let end = start
    while (end < result.rowCount && files[end] === files[start]) end++
    located.push({
      file: files[start] ?? 0,
      positions: new BigUint64Array(positions.slice(start, end).buffer),
      keys: keys?.slice(start, end),
    })
    start = end
  }
  return located
}

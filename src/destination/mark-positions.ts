/** Positions that a query found, as what becomes of the files they lie in. */
import type { AddFile } from '../delta/actions.ts'
import { unionPositions } from '../delta/deletion-vector.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { int32Column, int64Column } from '../engine/result-columns.ts'
import { deadPositionsOf, fateOf, type FileFate } from './mark-rows.ts'

/**
 * One fate per file of `files`, in order. `dead`: a query of (number in `candidates`, position) of
 * rows that die now.
 */
export async function fatesOf(
  engine: EngineStatements,
  table: DeltaTable,
  input: {
    readonly files: readonly AddFile[]
    readonly candidates: readonly AddFile[]
    readonly dead: string
  },
): Promise<readonly FileFate[]> {
  const { files, candidates, dead } = input
  const result = await engine.columns(`SELECT * FROM (${dead}) ORDER BY ALL`)
  const numbers = int32Column(result, 0)
  const positions = int64Column(result, 1)
  const before = new Map<AddFile, BigUint64Array>()
  const after = new Map<AddFile, BigUint64Array>()
  for (let start = 0; start < result.rowCount;) {
    let end = start
    while (end < result.rowCount && numbers[end] === numbers[start]) end++
    const file = candidates[numbers[start] ?? -1]
    const found = new BigUint64Array(positions.slice(start, end).buffer)
    start = end
    if (file === undefined) continue
    const old = await deadPositionsOf(table, file)
    before.set(file, old)
    after.set(file, old.length === 0 ? found : unionPositions(old, found))
  }
  return files.map((file) => fateOf(file, before.get(file), after.get(file)))
}

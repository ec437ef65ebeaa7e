/** Which data file of a destination table it is that the engine could not read. */
import { hasCode, SluiceError } from '../base/errors.ts'
import { storagePathOf } from '../delta/data-path.ts'
import type { DeltaSnapshot, DeltaTable } from '../delta/delta-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import { localDataFile } from './data-path.ts'
import { keepsHistory } from './destination-kind.ts'
import { rowsOfConfiguration } from './destination-state.ts'
import { scanSql } from './scan.ts'

export interface ReadTable {
  readonly engine: Pick<Engine, 'rows'>
  readonly table: DeltaTable
  readonly snapshot: DeltaSnapshot | undefined
}

/** What stands in a history stands nowhere else. */
const historyRemedy =
  'Put the file back from a backup of the lake: what it holds of the history is nowhere else. Without one begin a new history, run: sluice refresh TABLE --full'

/**
 * The error to throw for `thrown`: of a failure of the engine that a damaged file explains,
 * DESTINATION_FILE_DAMAGED; any other one as it is. The engine names files for some kinds of damage
 * only, and quotes cells beside them, so every file is looked at.
 */
export async function namedDamage(thrown: unknown, read: ReadTable): Promise<unknown> {
  const { table, snapshot } = read
  if (!hasCode(thrown, 'ENGINE_FAILED') || snapshot === undefined) return thrown
  for (const file of snapshot.files.values()) {
    const why = await damageOf(read, file)
    if (why === undefined) continue
    const { kind } = rowsOfConfiguration(snapshot.metadata.configuration)
    return new SluiceError(
      'DESTINATION_FILE_DAMAGED',
      `data file ${localDataFile(table, file)} ${why}`,
      { cause: thrown, ...(keepsHistory(kind) ? { remedy: historyRemedy } : {}) },
    )
  }
  return thrown
}

type DataFile = Parameters<typeof localDataFile>[1] & { readonly size: number }

/** undefined: it can be read whole. */
async function damageOf({ engine, table }: ReadTable, file: DataFile): Promise<string | undefined> {
  const found = await table.storage.stat(storagePathOf(table, file.path))
  if (found === undefined) return 'is not there'
  if (found.sizeBytes !== file.size)
    return `has ${found.sizeBytes} bytes, it was written with ${file.size}`
  try {
    // Every cell counts, so every page is read.
    const rows = scanSql([localDataFile(table, file)])
    await engine.rows(`SELECT bit_xor(hash(cells)) FROM ${rows} AS cells`)
    return undefined
  } catch (error) {
    return hasCode(error, 'ENGINE_FAILED') ? 'can not be read: its bytes are damaged' : undefined
  }
}

/** Finds the rows that the changes supersede and the rows that they leave behind. */
import type { AddFile } from '../delta/actions.ts'
import { unionPositions } from '../delta/deletion-vector.ts'
import type { DeltaTable } from '../delta/delta-table.ts'
import { parseDeltaStats } from '../delta/statistics.ts'
import type { EngineStatements } from '../engine/duckdb.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { FileLoad } from './choose-rewrites.ts'
import { localDataFile } from './data-path.ts'
import type { DestinationColumns } from './destination-columns.ts'
import { mayLack } from './evolve-table.ts'
import { fillAbsent } from './fill-absent.ts'
import { locateKeys } from './locate-keys.ts'
import { mayHoldKeys } from './prune-files.ts'
import { survivorsSql, type ReducedChanges } from './reduce-changes.ts'

/** What becomes of one file of the table. */
export interface FileFate {
  readonly file: AddFile
  /** All positions that are dead now, ascending; undefined: those its own vector has. */
  readonly deadPositions: BigUint64Array | undefined
  /** Nothing of it lives on in it: every row is dead, or the live ones move to another file. */
  readonly isGone: boolean
  /** Its rows stand in another file as they were: whoever follows the table has seen them. */
  readonly isMoved?: true
}

export interface MarkedRows {
  /** One per file, in order. */
  readonly fates: readonly FileFate[]
  /** Query of the rows the changes leave behind, the destination's columns in order. */
  readonly survivors: string
  /** See `DestinationState.clockUs`; of `versions` only. */
  readonly clockUs?: bigint
  /** See `DestinationState.sequenceBase`; of `log` only. */
  readonly sequenceBase?: bigint
}

/** Reads; writes nothing but temporary tables of the session. */
export async function markRows(
  engine: EngineStatements,
  input: {
    readonly table: DeltaTable
    readonly files: readonly AddFile[]
    readonly columns: DestinationColumns
    readonly reduced: ReducedChanges
  },
): Promise<MarkedRows> {
  const { table, columns, reduced } = input
  const names = columns.columns.map(({ name }) => name)
  const range = reduced.keyRange
  const candidates = input.files.filter(
    (file) => range === undefined || mayHoldKeys(file.stats, range),
  )
  const paths = candidates.map((file) => localDataFile(table, file))
  const located = await locateKeys(engine, {
    paths,
    key: columns.key,
    tableColumns: names,
    reduced,
    withKeyNumbers: reduced.hasAbsentCells,
  })
  const before = new Map<AddFile, BigUint64Array>()
  const after = new Map<AddFile, BigUint64Array>()
  await Promise.all(
    located.map(async ({ file: index, positions }) => {
      const file = candidates[index]
      if (file === undefined) return
      const old = await deadPositionsOf(table, file)
      before.set(file, old)
      after.set(file, old.length === 0 ? positions : unionPositions(old, positions))
    }),
  )
  const list = names.map(quoteIdentifier).join(', ')
  const survivors = reduced.hasAbsentCells
    ? await fillAbsent(engine, {
        reduced,
        columns,
        paths,
        located,
        mayLack: mayLack(candidates, names),
        deadBefore: (index) => before.get(candidates[index] as AddFile),
      })
    : survivorsSql(reduced, list)
  return {
    fates: input.files.map((file) => fateOf(file, before.get(file), after.get(file))),
    survivors,
  }
}

export async function deadPositionsOf(table: DeltaTable, file: AddFile): Promise<BigUint64Array> {
  if (file.deletionVector === undefined) return new BigUint64Array(0)
  const positions = await table.readDeletionVector(file)
  return positions instanceof BigUint64Array ? positions : BigUint64Array.from(positions)
}

export function fateOf(
  file: AddFile,
  before: BigUint64Array | undefined,
  after: BigUint64Array | undefined,
): FileFate {
  if (after === undefined || after.length === before?.length) {
    return { file, deadPositions: undefined, isGone: false }
  }
  const rows = parseDeltaStats(file.stats)?.numRecords
  return { file, deadPositions: after, isGone: rows !== undefined && after.length >= rows }
}

/** The file's weight after the update, for the choice of rewrites. */
export function fileLoad({ file, deadPositions, isGone }: FileFate): FileLoad {
  const deadRows = deadPositions?.length ?? file.deletionVector?.cardinality ?? 0
  // Without dead rows their share is nothing, whatever the number of rows.
  const rows = deadRows === 0 ? 1 : parseDeltaStats(file.stats)?.numRecords
  return { sizeBytes: file.size, rows: isGone ? undefined : rows, deadRows }
}

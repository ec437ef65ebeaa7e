/** Pipelines over real folders for tests, and what their destination tables hold. */
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { noFailpoints } from '../../src/base/failpoint.ts'
import { openDeltaTable } from '../../src/delta/open-delta-table.ts'
import { liveRowsSql } from '../../src/destination/read-table.ts'
import type { Engine } from '../../src/engine/duckdb.ts'
import { silentLog } from '../../src/observe/log.ts'
import { createPipeline, type PipelineOptions } from '../../src/pipeline/pipeline.ts'
import type { Pipeline } from '../../src/pipeline/pipeline-status.ts'
import type { TableSelection } from '../../src/pipeline/table-selection.ts'
import type { StagingLogOptions } from '../../src/staging/staging-log.ts'
import { createStagingReader } from '../../src/staging/staging-reader.ts'
import { createLocalStorage } from '../../src/storage/local-storage.ts'
import type { ObjectStorage } from '../../src/storage/object-storage.ts'
import type { Cell } from './cells.ts'
import { StagedSource } from './staged-source.ts'

/** All tables of the source schema `public` to `main.shop`. */
export const wholeSchema: TableSelection = {
  sourceSchema: 'public',
  destinationCatalog: 'main',
  destinationSchema: 'shop',
  scdType: 'SCD_TYPE_1',
}

export interface Place {
  readonly source: StagedSource
  readonly staging: ObjectStorage
  readonly lake: ObjectStorage
}

/** A staging volume and a lake below `folder`, in folders whose names are patterns to an engine. */
export async function openPlace(
  folder: string,
  options: Pick<StagingLogOptions, 'checkpointCommits'> = {},
): Promise<Place> {
  const staging = createLocalStorage(join(folder, 'staging [a]*'))
  const lake = createLocalStorage(join(folder, "lake k=v 'q'"))
  return { source: await StagedSource.open(staging, options), staging, lake }
}

export function pipelineOver(
  place: Pick<Place, 'staging' | 'lake'>,
  engine: Engine,
  options: Partial<PipelineOptions> = {},
): Pipeline {
  return createPipeline({
    pipelineId: 'p1',
    staging: createStagingReader({ storage: place.staging }),
    lake: ({ catalog, schema, table }) => ({
      storage: place.lake,
      root: `${catalog}/${schema}/${table}`,
    }),
    engine,
    tables: [wholeSchema],
    clock: systemClock,
    log: silentLog,
    failpoints: noFailpoints,
    productVersion: '0',
    ...options,
  })
}

/** Live rows of the table at `root`, sorted by all columns; a table that is not there has none. */
export async function rowsOf(
  lake: ObjectStorage,
  root: string,
  engine: Engine,
): Promise<unknown[][]> {
  const table = openDeltaTable({ storage: lake, root })
  const snapshot = await table.snapshot()
  if (snapshot === undefined) return []
  const session = await engine.openSession()
  try {
    const sql = await liveRowsSql(session, table, snapshot)
    // By whole rows: a column it sorts by would lose the sign of a zero.
    const rows = await session.rows(`SELECT * FROM (SELECT * FROM ${sql}) AS r ORDER BY r`)
    return rows.map((row) => Object.values(row))
  } finally {
    session.close()
  }
}

/** Order of `rowsOf` for rows whose leading columns are numbers, bigints or texts. */
export function sortRows(rows: Iterable<readonly Cell[]>): Cell[][] {
  const order = (a: Cell | undefined, b: Cell | undefined): number => {
    if (typeof a === 'string' && typeof b === 'string') {
      return Buffer.compare(Buffer.from(a), Buffer.from(b))
    }
    return Number(a) - Number(b)
  }
  return [...rows]
    .map((row) => [...row])
    .toSorted((a, b) => {
      for (let column = 0; column < a.length; column++) {
        const difference = order(a[column], b[column])
        if (difference !== 0) return difference
      }
      return 0
    })
}

/**
 * Schema changes that leave rows as they are, on their way to staging. The stream runs ahead of what
 * is durable: what it has changed so far is known here, and the tables themselves learn of it when
 * it is on record. One object serves one stream.
 */
import type { Column } from '../columnar/column-batch.ts'
import type { SourceTable } from '../source/table-schema.ts'
import { changeFilePath } from '../staging/layout.ts'
import type { ManifestEntry, StagedFile } from '../staging/manifest.ts'
import type { StagingLog } from '../staging/staging-log.ts'
import { tableEntry, writeNextSchema } from './begin-copy.ts'
import type { FileNumbers } from './change-files.ts'
import type { FollowedTable } from './followed-table.ts'

/** A schema's number, known once the schema is written: an earlier gateway may have left one there. */
export interface SchemaVersion {
  number: number
}

export interface SchemaStep {
  readonly table: FollowedTable
  readonly snapshotId: number
  /** As it is after the change. */
  readonly source: SourceTable
  readonly version: SchemaVersion
  /** The version before. */
  readonly before: SchemaVersion
  /** One row each, named as in the new schema. */
  readonly fills: readonly Column[]
  readonly sequence: bigint
  readonly ordinal: number
}

/** Outside of a transaction: after all of the last one. */
export const lastOrdinal = 2 ** 31 - 1

export interface SchemaStepsOptions {
  readonly staging: Pick<StagingLog, 'openDataFile' | 'epoch' | 'writeSchema'>
  readonly numbers: FileNumbers
}

export class SchemaSteps {
  readonly #options: SchemaStepsOptions
  /** The newest of each table. */
  readonly #newest = new Map<FollowedTable, SchemaStep>()
  readonly #first = new Map<FollowedTable, SchemaVersion>()
  #gathered: SchemaStep[] = []

  constructor(options: SchemaStepsOptions) {
    this.#options = options
  }

  /** Some change waits to be staged. */
  get hasNews(): boolean {
    return this.#gathered.length > 0
  }

  /** The table as rows of it come now. */
  current(table: FollowedTable): SourceTable {
    return this.#newestOf(table)?.source ?? table.table
  }

  /** The same object as long as the version is the same. */
  version(table: FollowedTable): SchemaVersion {
    const newest = this.#newestOf(table)
    if (newest !== undefined) return newest.version
    const known = this.#first.get(table)
    if (known?.number === table.schemaVersion) return known
    const version = { number: table.schemaVersion }
    this.#first.set(table, version)
    return version
  }

  add(
    table: FollowedTable,
    source: SourceTable,
    { fills, sequence, ordinal }: Pick<SchemaStep, 'fills' | 'sequence' | 'ordinal'>,
  ): SchemaStep {
    const before = this.version(table)
    const step: SchemaStep = {
      fills,
      sequence,
      ordinal,
      table,
      snapshotId: table.snapshotId,
      source,
      version: { number: -1 },
      before,
    }
    this.#newest.set(table, step)
    this.#gathered.push(step)
    return step
  }

  /** Before any row of the version is written; calls do not overlap. */
  async writeSchema({ source, version, before }: SchemaStep): Promise<void> {
    version.number = await writeNextSchema(source, before.number + 1, this.#options.staging)
  }

  /** Those of the commit that is being cut. */
  take(): readonly SchemaStep[] {
    return this.#gathered.splice(0)
  }

  /** All that a manifest says of the steps; their schemas are written. */
  async entries(steps: readonly SchemaStep[]): Promise<ManifestEntry[]> {
    const entries: ManifestEntry[] = []
    for (const step of steps) {
      const { table, source, version, snapshotId, sequence, ordinal } = step
      const fill = await this.#writeFill(step)
      entries.push(tableEntry(source, version.number), {
        kind: 'schema_change',
        table_id: table.table.id,
        snapshot_id: snapshotId,
        schema_version: version.number,
        sequence: sequence.toString(),
        ordinal,
        ...(fill === undefined ? {} : { fill }),
      })
    }
    return entries
  }

  /** They are on record. */
  published(steps: readonly SchemaStep[]): void {
    for (const { table, source, version, snapshotId } of steps) {
      table.noteSchema(source, version.number, snapshotId)
    }
  }

  async #writeFill({ table, fills, sequence }: SchemaStep): Promise<StagedFile | undefined> {
    if (fills.length === 0) return undefined
    const { staging, numbers } = this.#options
    const path = changeFilePath({
      tableId: table.table.id,
      firstSequence: sequence,
      epoch: staging.epoch,
      number: numbers.next(),
    })
    const columns = fills.map(({ name, type }) => ({ name, type }))
    const writer = await staging.openDataFile(path, columns)
    try {
      const byteLength = fills.reduce((sum, { values }) => sum + values.byteLength, 0)
      await writer.write({ columns: fills, rowCount: 1, byteLength })
      return await writer.close()
    } catch (error) {
      await writer.abort()
      throw error
    }
  }

  /** A newer copy knows its schema itself. */
  #newestOf(table: FollowedTable): SchemaStep | undefined {
    const newest = this.#newest.get(table)
    return newest?.snapshotId === table.snapshotId ? newest : undefined
  }
}

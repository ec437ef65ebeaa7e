/**
 * Which columns a destination table gets from the staged schemas, and how rows of earlier schemas
 * become rows of the newest that an update reaches.
 */
import { hasCode, SluiceError } from '../base/errors.ts'
import { localFile } from '../destination/data-path.ts'
import {
  chooseColumns,
  type ColumnChoice,
  type DestinationColumns,
} from '../destination/destination-columns.ts'
import { type ColumnFill, sameColumn, type SchemaUpgrade } from '../destination/schema-upgrade.ts'
import type { TableSchema } from '../source/table-schema.ts'
import type { SchemaChangeEntry } from '../staging/manifest.ts'
import type { StagingReader } from '../staging/staging-reader.ts'
import type { TablePlan } from './plan.ts'

export interface WorkColumns {
  /** The newest that the work reaches. */
  readonly schemaVersion: number
  readonly columns: DestinationColumns
  /** What the table holds is of an earlier schema: how it becomes rows of `columns`. */
  readonly evolution: SchemaUpgrade | undefined
  /** Path of a staged file of an earlier schema → how its rows become rows of `columns.staged`. */
  readonly upgrades: ReadonlyMap<string, SchemaUpgrade>
}

export type LoadOrChanges = Extract<TablePlan, { readonly kind: 'load' | 'changes' }>

/** The schemas of one staged table, and one destination's choice of columns. */
export class TableSchemas {
  readonly #staging: StagingReader
  readonly #tableId: string
  readonly #choice: ColumnChoice
  readonly #schemas = new Map<number, TableSchema>()

  constructor(staging: StagingReader, tableId: string, choice: ColumnChoice) {
    this.#staging = staging
    this.#tableId = tableId
    this.#choice = choice
  }

  /** Columns of a table at a schema version. Throws DESTINATION_COLUMN_UNKNOWN. */
  async columnsAt(version: number): Promise<DestinationColumns> {
    const schema = await this.#read(version)
    const { includeColumns, excludeColumns } = this.#choice
    return chooseColumns(schema, {
      ...this.#choice,
      ...(includeColumns && { includeColumns: await this.#known(includeColumns, version) }),
      ...(excludeColumns && { excludeColumns: await this.#known(excludeColumns, version) }),
    })
  }

  /** The same for a table that stands at an earlier version: names that came later do not matter. */
  async columnsBefore(version: number): Promise<DestinationColumns> {
    const schema = await this.#read(version)
    const names = new Set(schema.columns.map(({ name }) => name))
    const { includeColumns, excludeColumns } = this.#choice
    return chooseColumns(schema, {
      ...this.#choice,
      ...(includeColumns && { includeColumns: includeColumns.filter((name) => names.has(name)) }),
      ...(excludeColumns && { excludeColumns: excludeColumns.filter((name) => names.has(name)) }),
    })
  }

  /** `from`: version of what the table holds, or of the copy that is loaded. */
  async workColumns(plan: LoadOrChanges, from: number): Promise<WorkColumns> {
    const changes = plan.steps.flatMap(({ entry }) =>
      entry.kind === 'schema_change' ? [entry] : [],
    )
    const schemaVersion = changes.at(-1)?.schema_version ?? from
    const columns = await this.columnsAt(schemaVersion)
    if (changes.length === 0) {
      return { schemaVersion, columns, evolution: undefined, upgrades: new Map() }
    }
    const fills = await this.#fills(changes, from)
    const upgradeOf = async (version: number): Promise<SchemaUpgrade> => ({
      from: await this.#read(version),
      to: columns.staged,
      fills,
    })
    const byVersion = new Map<number, SchemaUpgrade>()
    const upgrades = new Map<string, SchemaUpgrade>()
    for (const { version, paths } of filesOf(plan)) {
      if (version === schemaVersion) continue
      const upgrade = byVersion.get(version) ?? (await upgradeOf(version))
      byVersion.set(version, upgrade)
      for (const path of paths) upgrades.set(path, upgrade)
    }
    const evolution =
      plan.kind === 'load'
        ? undefined
        : { from: await this.columnsBefore(from), to: columns, fills }
    return { schemaVersion, columns, evolution, upgrades }
  }

  /** By column id. A file of an entry has a cell for every column that the entry adds. */
  async #fills(
    changes: readonly SchemaChangeEntry[],
    from: number,
  ): Promise<ReadonlyMap<string, ColumnFill>> {
    const fills = new Map<string, ColumnFill>()
    let before = await this.#read(from)
    for (const { schema_version: version, fill } of changes) {
      const schema = await this.#read(version)
      const present = before
      const added = schema.columns.filter((column) => sameColumn(present, column) === undefined)
      for (const { id, name } of fill === undefined ? [] : added) {
        const path = localFile(this.#staging.storage, fill?.path ?? '')
        if (id !== undefined) fills.set(id, { path, name })
      }
      before = schema
    }
    return fills
  }

  /** Without the names of columns that were dropped. Throws for one that was renamed. */
  async #known(names: readonly string[], version: number): Promise<readonly string[]> {
    const schema = await this.#read(version)
    const known: string[] = []
    for (const name of names) {
      const isThere = schema.columns.some((column) => column.name === name)
      if (isThere || !(await this.#wasDropped(name, version))) known.push(name)
    }
    return known
  }

  async #wasDropped(name: string, version: number): Promise<boolean> {
    const now = await this.#read(version)
    for (let earlier = version - 1; earlier >= 0; earlier--) {
      const schema = await this.#staging
        .readSchema(this.#tableId, earlier)
        .catch((error: unknown) => {
          // Numbers are skipped. What cannot be read is no such number: a rename may stand in it.
          if (hasCode(error, 'STAGING_SCHEMA_MISSING')) return undefined
          throw error
        })
      const column = schema?.columns.find((one) => one.name === name)
      if (column?.id === undefined) continue
      const renamed = now.columns.find(({ id }) => id === column.id)
      if (renamed === undefined) return true
      throw new SluiceError(
        'DESTINATION_COLUMN_UNKNOWN',
        `the source table has no column "${name}" any more: it is called "${renamed.name}" now`,
        { remedy: `Write "${renamed.name}" in its place in the lists of columns of the table` },
      )
    }
    return false
  }

  async #read(version: number): Promise<TableSchema> {
    const known = this.#schemas.get(version)
    if (known !== undefined) return known
    const schema = await this.#staging.readSchema(this.#tableId, version)
    this.#schemas.set(version, schema)
    return schema
  }
}

function filesOf(
  plan: LoadOrChanges,
): readonly { readonly version: number; readonly paths: readonly string[] }[] {
  const chunks = plan.kind === 'load' ? plan.chunks : []
  return [
    ...chunks.map(({ schema_version: version, files }) => ({
      version,
      paths: files.map(({ path }) => path),
    })),
    ...plan.steps.flatMap(({ entry }) =>
      entry.kind === 'changes' ? [{ version: entry.schema_version, paths: [entry.file.path] }] : [],
    ),
  ]
}

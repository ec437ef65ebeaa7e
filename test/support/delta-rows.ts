/**
 * Every row of a Delta table as exact text, for tests: data files through the engine, files and
 * deletion vectors through our log. Values are cast to the table's own types, so rows of different
 * writers compare.
 */
import type { AddFile, Metadata } from '../../src/delta/actions.ts'
import { storagePathOf } from '../../src/delta/data-path.ts'
import type { DeltaSnapshot, DeltaTable } from '../../src/delta/delta-table.ts'
import { parseDeltaSchema, type DeltaField, type DeltaType } from '../../src/delta/table-schema.ts'
import type { Engine } from '../../src/engine/duckdb.ts'

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const engineNames: Readonly<Record<string, string>> = {
  boolean: 'BOOLEAN',
  byte: 'TINYINT',
  short: 'SMALLINT',
  integer: 'INTEGER',
  long: 'BIGINT',
  float: 'FLOAT',
  double: 'DOUBLE',
  string: 'VARCHAR',
  binary: 'BLOB',
  date: 'DATE',
  timestamp: 'TIMESTAMPTZ',
  timestamp_ntz: 'TIMESTAMP',
}

type NameOf = (field: DeltaField) => string

function engineType(type: DeltaType, nameOf: NameOf): string {
  if (typeof type === 'string') return engineNames[type] ?? type.toUpperCase()
  if (type.type === 'array') return `${engineType(type.elementType, nameOf)}[]`
  if (type.type === 'map') {
    return `MAP(${engineType(type.keyType, nameOf)}, ${engineType(type.valueType, nameOf)})`
  }
  const fields = type.fields.map(
    (field) => `${identifier(nameOf(field))} ${engineType(field.type, nameOf)}`,
  )
  return `STRUCT(${fields.join(', ')})`
}

const logicalName: NameOf = (field) => field.name

/** Pairs of names in the files and in the table, at any depth, where the two differ. */
function renamings(type: DeltaType): readonly (readonly [string, string])[] {
  if (typeof type === 'string') return []
  if (type.type === 'array') return renamings(type.elementType)
  if (type.type === 'map') return [...renamings(type.keyType), ...renamings(type.valueType)]
  return type.fields.flatMap((field) => [
    ...(physicalName(field) === field.name ? [] : [[physicalName(field), field.name] as const]),
    ...renamings(field.type),
  ])
}

/** Name in the files: the logical one unless the table maps columns. */
function physicalName(field: DeltaField): string {
  const name = field.metadata['delta.columnMapping.physicalName']
  return typeof name === 'string' ? name : field.name
}

export interface ReadRowsOptions {
  readonly engine: Engine
  readonly table: DeltaTable
  readonly snapshot: DeltaSnapshot
}

/** One text per live row, sorted; columns in the order of the table's schema. */
export async function readDeltaRows(options: ReadRowsOptions): Promise<string[]> {
  const rows: string[][] = []
  for (const file of options.snapshot.files.values()) rows.push(await readFileRows(file, options))
  const fields = parseDeltaSchema(options.snapshot.metadata.schemaString)
  const names = renamings({ type: 'struct', fields })
  const logical = (text: string): string =>
    names.reduce((renamed, [from, to]) => renamed.replaceAll(`'${from}'`, `'${to}'`), text)
  return rows.flat().map(logical).toSorted()
}

async function readFileRows(
  file: AddFile,
  { engine, table, snapshot }: ReadRowsOptions,
): Promise<string[]> {
  const path = table.storage.localPath(storagePathOf(table, file.path))
  if (path === undefined) throw new Error(`${file.path} is not on this machine`)
  const present = await namesIn(engine, path)
  const cells = parseDeltaSchema(snapshot.metadata.schemaString).map((field) =>
    cellOf(field, { file, metadata: snapshot.metadata, present }),
  )
  const dead = [...(await table.readDeletionVector(file))]
  const where = dead.length === 0 ? '' : `WHERE file_row_number NOT IN (${dead.join(', ')})`
  const source = `read_parquet([${literal(path)}], file_row_number = true, hive_partitioning = false)`
  return textRows(engine, cells, `${source} ${where}`)
}

function cellOf(
  field: DeltaField,
  of: {
    readonly file: AddFile
    readonly metadata: Metadata
    readonly present: ReadonlyMap<string, string>
  },
): string {
  const name = physicalName(field)
  const type = engineType(field.type, physicalName)
  const isPartition = of.metadata.partitionColumns.some(
    (column) => column.toLowerCase() === field.name.toLowerCase(),
  )
  if (isPartition) {
    const value = Object.entries(of.file.partitionValues).find(
      ([key]) => key.toLowerCase() === name.toLowerCase(),
    )?.[1]
    return value === undefined || value === null || value === ''
      ? `CAST(NULL AS ${type})`
      : `CAST(${literal(value)} AS ${type})`
  }
  const column = of.present.get(name.toLowerCase())
  return `CAST(${column === undefined ? 'NULL' : identifier(column)} AS ${type})`
}

/** Rows of plain Parquet files with the columns of `schemaString`, as the same texts. */
export async function readParquetTexts(
  engine: Engine,
  paths: readonly string[],
  schemaString: string,
): Promise<string[]> {
  const rows: string[][] = []
  for (const path of paths) {
    const present = await namesIn(engine, path)
    const cells = parseDeltaSchema(schemaString).map((field) => {
      const column = present.get(field.name.toLowerCase())
      return `CAST(${column === undefined ? 'NULL' : identifier(column)} AS ${engineType(field.type, logicalName)})`
    })
    rows.push(
      await textRows(engine, cells, `read_parquet([${literal(path)}], hive_partitioning = false)`),
    )
  }
  return rows.flat().toSorted()
}

async function namesIn(engine: Engine, path: string): Promise<ReadonlyMap<string, string>> {
  const source = `read_parquet([${literal(path)}], hive_partitioning = false)`
  const described = await engine.rows(`SELECT column_name FROM (DESCRIBE SELECT * FROM ${source})`)
  return new Map(
    described.map((row) => [String(row['column_name']).toLowerCase(), String(row['column_name'])]),
  )
}

async function textRows(
  engine: Engine,
  cells: readonly string[],
  source: string,
): Promise<string[]> {
  const row = cells.length === 0 ? `''` : `CAST(row(${cells.join(', ')}) AS VARCHAR)`
  const rows = await engine.rows(`SELECT ${row} AS text FROM ${source}`)
  return rows.map(({ text }) => String(text))
}

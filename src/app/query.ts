/** `query`: one SQL statement over the destination tables as they are now. */
import { SluiceError } from '../base/errors.ts'
import { formatTableName, type TableName } from '../catalog/names.ts'
import type { QueryResult } from '../cli/app.ts'
import { liveRowsSql } from '../destination/read-table.ts'
import type { Engine } from '../engine/duckdb.ts'
import { withEnoughMemory } from '../engine/enough-memory.ts'
import { quoteIdentifier } from '../engine/quote.ts'
import type { Context } from './context.ts'
import { readableTables } from './readable-tables.ts'

/** Catalog names the engine keeps for itself; they get another name inside it. */
const reservedCatalogs = new Set(['main', 'temp', 'system', 'memory'])

function engineCatalog(catalog: string): string {
  return reservedCatalogs.has(catalog) ? `${catalog}_` : catalog
}

/** String literals and comments, or a name of up to three parts. */
const tokens =
  /'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?\*\/|(?:"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{N}_$]*)(?:\s*\.\s*(?:"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{N}_$]*))*/gu

function partsOf(name: string): readonly string[] {
  return [...name.matchAll(/"((?:[^"]|"")+)"|([\p{L}_][\p{L}\p{N}_$]*)/gu)].map((match) =>
    (match[1]?.replaceAll('""', '"') ?? match[2] ?? '').toLowerCase(),
  )
}

/** Alone, or behind its schema; a column may follow. In lower case. */
function mayMean(parts: readonly string[], { schema, table }: TableName): boolean {
  return parts.some(
    (part, index) =>
      part === table.toLowerCase() && (index === 0 || parts[index - 1] === schema.toLowerCase()),
  )
}

export interface PreparedQuery {
  /** The statement with full names as the engine knows them. */
  readonly sql: string
  /** Tables that some name in the statement may mean. */
  readonly tables: readonly TableName[]
}

/** Which tables a statement may read, and the statement in the engine's names. Pure. */
export function prepareQuery(sql: string, known: readonly TableName[]): PreparedQuery {
  const used = new Set<TableName>()
  const listsTables = /\b(show|information_schema|duckdb_(tables|views|columns))\b/i.test(sql)
  const text = sql.replace(tokens, (token) => {
    if (token.startsWith("'") || token.startsWith('--') || token.startsWith('/*')) return token
    const parts = partsOf(token)
    for (const name of known) if (mayMean(parts, name)) used.add(name)
    const [catalog = '', schema, table] = parts
    const full = known.find(
      (name) =>
        table !== undefined &&
        name.catalog.toLowerCase() === catalog &&
        name.schema.toLowerCase() === schema &&
        name.table.toLowerCase() === table,
    )
    if (full === undefined || !reservedCatalogs.has(catalog)) return token
    return token.replace(/^("[^"]+"|[^.\s]+)/, quoteIdentifier(engineCatalog(catalog)))
  })
  return { sql: text, tables: listsTables ? known : known.filter((name) => used.has(name)) }
}

/** As the engine knows it. */
function schemaOf(name: TableName): string {
  return `${quoteIdentifier(engineCatalog(name.catalog))}.${quoteIdentifier(name.schema)}`
}

/** All there are, or a wrong name of a table would be told as that of a schema. */
async function createSchemas(engine: Engine, names: readonly TableName[]): Promise<void> {
  for (const catalog of new Set(names.map((name) => engineCatalog(name.catalog)))) {
    await engine.run(`ATTACH ':memory:' AS ${quoteIdentifier(catalog)}`)
    const schemas = names.filter((name) => engineCatalog(name.catalog) === catalog)
    for (const schema of new Set(schemas.map((name) => quoteIdentifier(name.schema)))) {
      await engine.run(`CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(catalog)}.${schema}`)
    }
  }
}

/** False when the table was never loaded. */
async function createView(
  context: Context,
  engine: Engine,
  name: TableName,
  location: string,
): Promise<boolean> {
  const table = context.deltaTable(location)
  const snapshot = await table.snapshot()
  if (snapshot === undefined) return false
  const schema = schemaOf(name)
  const relation = await liveRowsSql(engine, table, snapshot)
  await engine.run(
    `CREATE VIEW ${schema}.${quoteIdentifier(name.table)} AS SELECT * FROM ${relation}`,
  )
  return true
}

/** Throws QUERY_NOT_READ_ONLY, and what the engine says of a wrong statement. */
export async function runQuery(context: Context, sql: string): Promise<QueryResult> {
  const destinations = await readableTables(context)
  const prepared = prepareQuery(
    sql,
    destinations.map(({ name }) => name),
  )
  const engine = await context.openEngine({ valuesInErrors: true })
  try {
    await createSchemas(
      engine,
      destinations.map(({ name }) => name),
    )
    const path = new Set<string>()
    for (const name of prepared.tables) {
      const record = destinations.find((one) => formatTableName(one.name) === formatTableName(name))
      if (record === undefined) continue
      if (!(await createView(context, engine, name, record.location))) continue
      path.add(schemaOf(name))
    }
    // Schemas without a view come last: a wrong name of a table in one is told as just that.
    for (const { name } of destinations) path.add(schemaOf(name))
    if (path.size > 0)
      await engine.run(`SET search_path = '${[...path].join(',').replaceAll("'", "''")}'`)
    if (!(await engine.isOneRead(prepared.sql))) {
      throw new SluiceError('QUERY_NOT_READ_ONLY', 'the text is not one statement that only reads')
    }
    return await withEnoughMemory(engine, () => resultOf(engine, prepared.sql)).catch(
      async (error: unknown) => {
        throw ofStatement(error, await loadedTables(context, error))
      },
    )
  } finally {
    await engine.close()
  }
}

/** Kinds of failure that only another statement can mend. */
const statementErrors =
  /^(Parser|Syntax|Binder|Catalog|Conversion|Invalid Input|Out of Range|Not implemented|Permission) Error/

/** Names of tables that are told to somebody who named one that is not there. */
const mostNames = 20

/** Told to whoever named a table or schema that is not there; else none. */
async function loadedTables(context: Context, error: unknown): Promise<readonly string[]> {
  if (!(error instanceof SluiceError) || !/does not exist/.test(error.message)) return []
  return (await context.store.destinations()).map(({ name }) => formatTableName(name)).toSorted()
}

/** The same error; what a wrong statement caused says so, and names `tables`. */
export function ofStatement(error: unknown, tables: readonly string[] = []): unknown {
  if (!(error instanceof SluiceError) || !statementErrors.test(error.message)) return error
  const names = tables.slice(0, mostNames).join(', ')
  const more = tables.length > mostNames ? ` and ${tables.length - mostNames} more` : ''
  const remedy =
    names === ''
      ? 'Correct the statement; `sluice status` names the tables that can be read.'
      : `Correct the statement. There are: ${names}${more}; \`sluice status\` tells how they are.`
  return new SluiceError(error.code, error.message, { cause: error, remedy })
}

async function resultOf(engine: Engine, sql: string): Promise<QueryResult> {
  const types = await engine.rows(`DESCRIBE ${sql}`).catch(() => [] as Record<string, unknown>[])
  const rows = await engine.rows(sql)
  const names =
    types.length > 0 ? types.map((row) => String(row['column_name'])) : Object.keys(rows[0] ?? {})
  return {
    columns: names.map((name, index) => {
      const type = types[index]?.['column_type']
      return typeof type === 'string' ? { name, type } : { name }
    }),
    rows: rows.map((row) => Object.values(row)),
  }
}

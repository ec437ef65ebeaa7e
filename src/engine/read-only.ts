/** Tells a statement that only reads from one that writes a table, a file or a setting. */
import { type DuckDBConnection, StatementType } from '@duckdb/node-api'

const reads: ReadonlySet<StatementType> = new Set([
  StatementType.SELECT,
  StatementType.EXPLAIN,
  StatementType.CALL,
])

/** EXPLAIN ANALYZE runs what it explains. */
const explained = /^\s*explain(?:\s+analyze)?(?:\s*\([^)]*\))?\s/i

/** True also for a text that can not be parsed or bound: the engine says what is wrong with it. */
export async function isOneRead(connection: DuckDBConnection, sql: string): Promise<boolean> {
  const statements = await connection.extractStatements(sql).catch(() => undefined)
  if (statements === undefined) return true
  // The engine itself makes several of a PIVOT: types for its values, and then the statement.
  if (statements.count > 1 && /;\s*\S/.test(sql)) return false
  const prepared = await statements.prepare(statements.count - 1).catch(() => undefined)
  const type = prepared?.statementType
  prepared?.destroySync()
  if (type === undefined) return true
  const rest = sql.replace(explained, '')
  if (type === StatementType.EXPLAIN && rest !== sql) return await isOneRead(connection, rest)
  return reads.has(type)
}

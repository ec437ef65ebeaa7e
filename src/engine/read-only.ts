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
  // PIVOT over values that are not listed becomes types of theirs and the statement.
  const made = /\bpivot/i.test(sql) ? StatementType.CREATE : undefined
  const last = statements.count - 1
  for (let index = 0; index < statements.count; index++) {
    const prepared = await statements.prepare(index).catch(() => undefined)
    const type = prepared?.statementType
    prepared?.destroySync()
    if (type === undefined && index === last) continue
    if (index < last ? type !== made || made === undefined : !reads.has(type as StatementType)) {
      return false
    }
    const rest = sql.replace(explained, '')
    if (type === StatementType.EXPLAIN && rest !== sql) return await isOneRead(connection, rest)
  }
  return true
}

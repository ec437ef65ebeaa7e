import { expect, test } from 'vitest'
import { openEngine } from './duckdb.ts'

const reads = [
  'SELECT 1',
  'FROM t;',
  '-- a comment\nWITH x AS (SELECT 1) SELECT * FROM x',
  'SHOW TABLES',
  'SUMMARIZE t',
  'DESCRIBE t',
  'PRAGMA table_info(t)',
  'CALL duckdb_tables()',
  'PIVOT t ON a;',
  'WITH p AS (PIVOT t ON a) SELECT * FROM p',
  'EXPLAIN ANALYZE SELECT * FROM t',
  // The engine says what is wrong with these.
  'SELEC 1',
  'SELECT * FROM nowhere',
]
const writes = [
  "COPY (SELECT 1) TO 'rows.csv'",
  "EXPLAIN ANALYZE COPY (SELECT 1) TO 'rows.csv'",
  'EXPLAIN (ANALYZE, FORMAT json) INSERT INTO t VALUES (1)',
  'INSERT INTO t VALUES (1)',
  'WITH x AS (SELECT 1 AS a) INSERT INTO t FROM x',
  'CREATE TABLE pivots (a int)',
  "ATTACH 'other.db' AS other",
  'SET threads = 1',
  'SELECT 1; SELECT 2',
  "CREATE TYPE pivot1 AS ENUM ('a'); COPY (SELECT 1) TO 'rows.csv'",
  "COPY (PIVOT t ON a) TO 'rows.csv'",
  "SELECT 1; COPY (SELECT 1) TO 'rows.csv'",
  "COPY (SELECT 1) TO 'rows.csv'; SELECT 1",
]

test('a statement that only reads is told from every other', async () => {
  const engine = await openEngine()
  await engine.run('CREATE TABLE t (a int)')
  for (const sql of reads) expect(await engine.isOneRead(sql), sql).toBe(true)
  for (const sql of writes) expect(await engine.isOneRead(sql), sql).toBe(false)
  await engine.close()
})

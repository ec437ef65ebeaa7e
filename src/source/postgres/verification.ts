/** Digests of a PostgreSQL server's own rows at one exact position; see `source/verification.ts`. */
import { SluiceError } from '../../base/errors.ts'
import type { Position } from '../source.ts'
import type { BucketDigest, RowDigest, SourceVerification } from '../verification.ts'
import { bucketDigestSql, rowDigestSql } from './canonical-text.ts'
import { type ControlConnection, type ControlRow, openControl } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'
import { partitionTreeSql } from './partition-tree.ts'
import { idArray, quoteLiteral, quoteTable } from './sql-text.ts'
import type { SourceTable } from '../table-schema.ts'

/** A snapshot another session exported, exact at a position. */
export interface ExportedAt {
  readonly position: Position
  readonly snapshotName: string
  /** Lets the exporting session end; the snapshot lives on in who imported it. */
  close(): void
}

function cell(row: ControlRow, name: string): string {
  const value = row[name]
  if (value === undefined || value === null) throw new TypeError(`no ${name} in a digest row`)
  return value
}

/** Snapshots that a TRUNCATE or a rewrite may overtake before the tables are locked. */
const maxTries = 10

/** Imports a snapshot under which every one of `tables` can be read as it was; see `tryOpen`. */
export async function openVerification(
  options: PostgresOptions,
  tables: readonly SourceTable[],
  exportSnapshot: () => Promise<ExportedAt>,
): Promise<SourceVerification> {
  for (let tries = 1; ; tries++) {
    const opened = await tryOpen(options, tables, exportSnapshot)
    if ('verification' in opened) return opened.verification
    if (tries < maxTries) continue
    throw new SluiceError(
      'SOURCE_TABLE_CHANGED',
      `${opened.overtaken} was truncated or rewritten each time a snapshot was taken, ${tries} times`,
      { remedy: 'Run sluice verify once more, when nobody truncates or rewrites the table.' },
    )
  }
}

/**
 * A snapshot does not hide what TRUNCATE or a rewrite does to a table afterwards, so the tables are
 * locked (ACCESS SHARE, until `close`) and then looked at: their files must still be those of the
 * snapshot. The lock can not come first: creating the slot waits for transactions that may be waiting for it.
 */
async function tryOpen(
  options: PostgresOptions,
  tables: readonly SourceTable[],
  exportSnapshot: () => Promise<ExportedAt>,
): Promise<{ readonly verification: SourceVerification } | { readonly overtaken: string }> {
  const exported = await exportSnapshot()
  const control = await openControl(options).catch((error: unknown) => {
    exported.close()
    throw error
  })
  try {
    await control.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
    await control.query(`SET TRANSACTION SNAPSHOT ${quoteLiteral(exported.snapshotName)}`)
    exported.close()
    const overtaken = await lockTables(control, tables)
    if (overtaken !== undefined) {
      await control.close()
      return { overtaken }
    }
    // Digests are worth a second core and never an index.
    await control.query('SET LOCAL enable_indexscan = off')
    return { verification: digests(control, exported.position) }
  } catch (error) {
    exported.close()
    await control.close()
    throw error
  }
}

/** The name of a table whose files are not those of the snapshot any more; undefined: all are. */
async function lockTables(
  control: ControlConnection,
  tables: readonly SourceTable[],
): Promise<string | undefined> {
  if (tables.length === 0) return undefined
  const names = tables.map(({ name, isPartitioned }) =>
    isPartitioned === true ? quoteTable(name) : `ONLY ${quoteTable(name)}`,
  )
  await control.query(`LOCK TABLE ${names.join(', ')} IN ACCESS SHARE MODE`)
  // The catalog row is that of the snapshot, the function looks at the present.
  const [row] = await control.query(
    `SELECT c.oid::regclass::text AS name FROM pg_class c
      WHERE (c.oid = ANY ($1::oid[])
        OR c.oid::text IN (SELECT t.node FROM (${partitionTreeSql('$1::oid[]')}) t))
      AND nullif(c.relfilenode, 0) IS DISTINCT FROM pg_relation_filenode(c.oid) LIMIT 1`,
    [idArray(tables.map(({ id }) => id))],
  )
  return row?.['name'] ?? undefined
}

function digests(control: ControlConnection, position: Position): SourceVerification {
  let last: Promise<unknown> = Promise.resolve()
  // One table that can not be read must not end the transaction in which the others are.
  const guarded = async (sql: string): Promise<readonly ControlRow[]> => {
    const result = last.then(async () => {
      await control.query('SAVEPOINT one')
      try {
        return await control.query(sql)
      } catch (error) {
        await control.query('ROLLBACK TO SAVEPOINT one').catch(() => undefined)
        throw error
      } finally {
        await control.query('RELEASE SAVEPOINT one').catch(() => undefined)
      }
    })
    last = result.catch(() => undefined)
    return await result
  }
  return {
    position,
    async digestTable(table, columns, policy): Promise<readonly BucketDigest[]> {
      const rows = await guarded(bucketDigestSql(table, columns, policy))
      return rows.map((row) => ({
        bucket: Number(cell(row, 'bucket')),
        rows: BigInt(cell(row, 'rows')),
        sum: BigInt.asUintN(64, BigInt(cell(row, 'sum'))),
      }))
    },
    async digestRows(table, columns, options): Promise<readonly RowDigest[]> {
      const rows = await guarded(rowDigestSql(table, columns, options))
      return rows.map((row) => ({ key: cell(row, 'key'), digest: cell(row, 'digest') }))
    },
    close: async () => await control.close(),
  }
}

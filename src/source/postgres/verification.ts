/** Digests of a PostgreSQL server's own rows at one exact position; see `source/verification.ts`. */
import type { Position } from '../source.ts'
import type { BucketDigest, RowDigest, SourceVerification } from '../verification.ts'
import { bucketDigestSql, rowDigestSql } from './canonical-text.ts'
import { type ControlRow, openControl } from './connect.ts'
import type { PostgresOptions } from './connection-options.ts'

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

/** Imports the snapshot into a transaction of its own and closes `exported`. */
export async function openVerification(
  options: PostgresOptions,
  exported: ExportedAt,
): Promise<SourceVerification> {
  try {
    const control = await openControl(options)
    try {
      await control.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
      await control.query(`SET TRANSACTION SNAPSHOT '${exported.snapshotName}'`)
      // Digests are worth a second core and never an index.
      await control.query('SET LOCAL enable_indexscan = off')
    } catch (error) {
      await control.close()
      throw error
    }
    return {
      position: exported.position,
      async digestTable(table, columns): Promise<readonly BucketDigest[]> {
        const rows = await control.query(bucketDigestSql(table, columns))
        return rows.map((row) => ({
          bucket: Number(cell(row, 'bucket')),
          rows: BigInt(cell(row, 'rows')),
          sum: BigInt.asUintN(64, BigInt(cell(row, 'sum'))),
        }))
      },
      async digestRows(table, columns, buckets): Promise<readonly RowDigest[]> {
        const rows = await control.query(rowDigestSql(table, columns, buckets))
        return rows.map((row) => ({ key: cell(row, 'key'), digest: cell(row, 'digest') }))
      },
      close: async () => await control.close(),
    }
  } finally {
    exported.close()
  }
}

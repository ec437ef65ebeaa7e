/**
 * The seam `verify` uses: what a source can say about its rows at one exact position, computed by
 * the source's own server from its own values, so that none of our decoding is taken on trust.
 */
import type { UnfitPolicy } from '../columnar/unfit-policy.ts'
import type { Position } from './source.ts'
import type { SourceTable } from './table-schema.ts'

/** Rows whose key falls into bucket `bucket`: an order-independent digest of all of them. */
export interface BucketDigest {
  /** First byte of the MD5 of the key's canonical text: 0 to 255. */
  readonly bucket: number
  readonly rows: bigint
  /** Sum over the rows of the first 8 bytes of the MD5 of the row's canonical text, modulo 2^64. */
  readonly sum: bigint
}

export interface RowDigest {
  /** Canonical text of the key cells. */
  readonly key: string
  /** MD5 of the row's canonical text, 32 hex digits. */
  readonly digest: string
}

/**
 * Canonical text of a row: per column, in the given order, `n` for NULL and for a value the
 * destination holds as NULL by the type mapping's policy, else `v<byte length>:<text>`. Texts:
 * boolean `t`/`f`; integers in digits; floats their IEEE bits as `0`/`1`, NaN as `NaN`; decimals the
 * unscaled integer; strings themselves; binary in lower-case hex; dates days since 1970-01-01;
 * timestamps microseconds since 1970-01-01.
 * A value that the type can not hold is what the policy of the destination makes of it (`fail`:
 * NULL); with `string` columns that may have one are strings, and with `quarantine` a row with one
 * does not count.
 */
export interface SourceVerification {
  /** Shows every transaction that commits before this position and none that commits at or after it. */
  readonly position: Position
  /** Buckets without rows are left out. `columns` are the names to compare, in order. */
  digestTable(
    table: SourceTable,
    columns: readonly string[],
    policy?: UnfitPolicy,
  ): Promise<readonly BucketDigest[]>
  digestRows(
    table: SourceTable,
    columns: readonly string[],
    options: { readonly buckets: readonly number[]; readonly policy: UnfitPolicy },
  ): Promise<readonly RowDigest[]>
  close(): Promise<void>
}

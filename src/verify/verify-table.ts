/** Compares one source table with its destination at one position: counts, digests, differing keys. */
import type { UnfitPolicy } from '../destination/destination-columns.ts'
import { destinationColumn } from '../destination/unfit-sql.ts'
import type { Engine } from '../engine/duckdb.ts'
import { withEnoughMemory } from '../engine/enough-memory.ts'
import type { BucketDigest, RowDigest, SourceVerification } from '../source/verification.ts'
import type { SourceTable } from '../source/table-schema.ts'
import { bucketDigestSql, rowDigestSql, type CanonicalColumn } from './canonical-sql.ts'
import { readableKey } from './readable-key.ts'

export interface TableComparison {
  readonly source: SourceTable
  /** `catalog.schema.table` of the destination. */
  readonly destination: string
  /** A relation of the destination's live rows: something that can stand after FROM. */
  readonly relation: string
  /** Columns the destination has, in the source's order. */
  readonly columns: readonly string[]
  /** What the destination does about values that do not fit. */
  readonly policy: UnfitPolicy
}

export type KeyDifferenceKind = 'missing in destination' | 'only in destination' | 'different'

export interface KeyDifference {
  /** The key for people: `id=7, line=2`. */
  readonly key: string
  readonly kind: KeyDifferenceKind
}

export interface TableVerification {
  readonly destination: string
  readonly equal: boolean
  readonly sourceRows: bigint
  readonly destinationRows: bigint
  /** Sum of all row digests modulo 2^64, 16 hex digits. */
  readonly sourceDigest: string
  readonly destinationDigest: string
  /** Keys only in the source, only in the destination, and on both sides with different rows. */
  readonly missing: bigint
  readonly extra: bigint
  readonly different: bigint
  /** Rows of the source beyond those equal to one of the destination. */
  readonly unmatched: bigint
  /** The first few; empty when equal. */
  readonly differences: readonly KeyDifference[]
}

/** How many differing keys are named per table. */
const maxDifferences = 10
/** Rows, of both sides, whose digests are in memory at one time. */
const maxRowsAtOnce = 200_000n

interface Digests {
  readonly rows: bigint
  readonly sum: bigint
  readonly buckets: ReadonlyMap<number, BucketDigest>
}

function total(buckets: readonly BucketDigest[]): Digests {
  let rows = 0n
  let sum = 0n
  for (const bucket of buckets) {
    rows += bucket.rows
    sum = BigInt.asUintN(64, sum + bucket.sum)
  }
  return { rows, sum, buckets: new Map(buckets.map((bucket) => [bucket.bucket, bucket])) }
}

/** Buckets in which the two sides differ, ascending. Pure. */
function differingBuckets(a: Digests['buckets'], b: Digests['buckets']): readonly number[] {
  const differing: number[] = []
  for (let bucket = 0; bucket < 256; bucket++) {
    const left = a.get(bucket)
    const right = b.get(bucket)
    if (left?.rows !== right?.rows || left?.sum !== right?.sum) differing.push(bucket)
  }
  return differing
}

/** Keys that are not the same on both sides, ascending; a key may stand several times. Pure. */
function differingKeys(
  source: readonly RowDigest[],
  destination: readonly RowDigest[],
): readonly KeyDifference[] {
  const group = (rows: readonly RowDigest[]): Map<string, string> => {
    const byKey = new Map<string, string[]>()
    for (const { key, digest } of rows) byKey.set(key, [...(byKey.get(key) ?? []), digest])
    return new Map([...byKey].map(([key, digests]) => [key, digests.toSorted().join()]))
  }
  const left = group(source)
  const right = group(destination)
  const differences: KeyDifference[] = []
  for (const key of [...new Set([...left.keys(), ...right.keys()])].toSorted()) {
    const a = left.get(key)
    const b = right.get(key)
    if (a === b) continue
    const kind =
      b === undefined
        ? 'missing in destination'
        : a === undefined
          ? 'only in destination'
          : 'different'
    differences.push({ key, kind })
  }
  return differences
}

/** How many rows of the source have no equal one for themselves. Pure. */
export function unmatchedRows(
  source: readonly RowDigest[],
  destination: readonly RowDigest[],
): bigint {
  const left = new Map<string, number>()
  for (const { digest } of destination) left.set(digest, (left.get(digest) ?? 0) + 1)
  let unmatched = 0n
  for (const { digest } of source) {
    const count = left.get(digest) ?? 0
    if (count === 0) unmatched++
    else left.set(digest, count - 1)
  }
  return unmatched
}

/**
 * What can be said of a table whose inserts alone are followed. Every row of the source came once, so
 * fewer rows here are a loss; a row that is not here as it is now may have been changed since. Pure.
 */
export function judgeInserts({
  sourceRows,
  destinationRows,
  unmatched,
}: Pick<TableVerification, 'sourceRows' | 'destinationRows' | 'unmatched'>): {
  readonly kind: 'complete' | 'not comparable' | 'lost'
  /** Rows here that are not in the source as they came. */
  readonly others: bigint
} {
  const others = destinationRows - (sourceRows - unmatched)
  if (destinationRows < sourceRows) return { kind: 'lost', others }
  return { kind: unmatched === 0n ? 'complete' : 'not comparable', others }
}

/** Buckets in groups whose rows fit into memory together. */
function batchBuckets(buckets: readonly number[], sides: readonly Digests[]): readonly number[][] {
  const batches: number[][] = []
  let room = 0n
  for (const bucket of buckets) {
    const rows = sides.reduce((sum, side) => sum + (side.buckets.get(bucket)?.rows ?? 0n), 0n)
    if (rows > room) {
      batches.push([])
      room = maxRowsAtOnce
    }
    batches.at(-1)?.push(bucket)
    room -= rows
  }
  return batches
}

const hex = (sum: bigint): string => sum.toString(16).padStart(16, '0')

async function rowsOf(engine: Engine, sql: string): Promise<Record<string, unknown>[]> {
  return await withEnoughMemory(engine, () => engine.rows(sql))
}

export async function verifyTable(
  verification: SourceVerification,
  engine: Engine,
  comparison: TableComparison,
): Promise<TableVerification> {
  const { source, columns, relation, destination, policy } = comparison
  const typed = (name: string): CanonicalColumn => {
    const column = source.schema.columns.find((candidate) => candidate.name === name)
    if (column === undefined) throw new RangeError(`no column "${name}" in ${source.name.table}`)
    return destinationColumn(column, policy)
  }
  // Without a key a row is known by all its cells.
  const keyNames = source.schema.key.length === 0 ? columns : source.schema.key
  const key = keyNames.map(typed)
  const all = columns.map(typed)
  const [sourceBuckets, destinationRows] = await Promise.all([
    verification.digestTable(source, columns, policy),
    rowsOf(engine, bucketDigestSql(relation, key, all)),
  ])
  const left = total(sourceBuckets)
  const right = total(
    destinationRows.map((row) => ({
      bucket: Number(row['bucket']),
      rows: BigInt(row['rows'] as bigint),
      sum: BigInt.asUintN(64, BigInt(row['sum'] as bigint)),
    })),
  )
  const batches = batchBuckets(differingBuckets(left.buckets, right.buckets), [left, right])
  const found: KeyDifference[] = []
  let unmatched = 0n
  const counts = { 'missing in destination': 0n, 'only in destination': 0n, different: 0n }
  for (const buckets of batches) {
    const [sourceRows, rows] = await Promise.all([
      verification.digestRows(source, columns, { buckets, policy }),
      rowsOf(engine, rowDigestSql(relation, { key, columns: all, buckets })),
    ])
    const ours = rows.map((row) => ({ key: String(row['key']), digest: String(row['digest']) }))
    unmatched += unmatchedRows(sourceRows, ours)
    for (const difference of differingKeys(sourceRows, ours)) {
      counts[difference.kind]++
      if (found.length < maxDifferences) found.push(difference)
    }
  }
  return {
    destination,
    equal: batches.length === 0,
    sourceRows: left.rows,
    destinationRows: right.rows,
    sourceDigest: hex(left.sum),
    destinationDigest: hex(right.sum),
    missing: counts['missing in destination'],
    extra: counts['only in destination'],
    different: counts.different,
    unmatched,
    differences: found.map(({ key: text, kind }) => ({
      key: readableKey(text, key),
      kind,
    })),
  }
}

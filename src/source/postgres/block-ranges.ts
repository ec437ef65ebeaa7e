/**
 * Parts of a heap by block number, as a copy reads them, and what is left of a copy that was cut
 * off (pure). A row's place is its ctid; it changes with every update, so a part has a meaning only
 * inside one snapshot: what moved into a part that was read before is found by its xmin.
 */
import { SluiceError } from '../../base/errors.ts'

/** Blocks from `from` (inclusive) to `to` (exclusive); `to` undefined: to the end, wherever it is. */
export interface BlockRange {
  readonly from: number
  readonly to: number | undefined
}

/** A part of one relation as long as its heap file is the same. */
export interface RelationRange extends BlockRange {
  /** pg_class oid in decimal. */
  readonly relation: string
  /** `pg_relation_filenode`: another one when every row may have got another place. */
  readonly filenode: string
}

/** A part that was read, and as of which of the copy's points (0: the first). */
export interface KnownRange extends BlockRange {
  readonly asOf: number
}

/** What a copy has to read under its next point. */
export interface RestOfRelation {
  /** Parts that were never read. */
  readonly unread: readonly BlockRange[]
  /** Parts that were read as of an earlier point: only rows that may have changed since. */
  readonly stale: readonly KnownRange[]
}

/** `oid/filenode:from-to`; `to` empty when open. */
export function formatRange({ relation, filenode, from, to }: RelationRange): string {
  return `${relation}/${filenode}:${from}-${to ?? ''}`
}

const rangePattern = /^(\d{1,10})\/(\d{1,10}):(\d{1,10})-(\d{0,10})$/

export function parseRange(text: string): RelationRange {
  const [, relation, filenode, from, to] = rangePattern.exec(text) ?? []
  if (relation === undefined || filenode === undefined) {
    const shown = text.slice(0, 80)
    throw new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `"${shown}" is no part of a table`)
  }
  return { relation, filenode, from: Number(from), to: to === '' ? undefined : Number(to) }
}

/** `known` may overlap: the newest point counts. Ranges of the result do not, and are all blocks. */
export function restOf(known: readonly KnownRange[]): RestOfRelation {
  const bounds = new Set([0, Infinity])
  for (const { from, to } of known) bounds.add(from).add(to ?? Infinity)
  const edges = [...bounds].toSorted((a, b) => a - b)
  const parts: { from: number; to: number; asOf: number }[] = []
  for (const [index, from] of edges.entries()) {
    const to = edges[index + 1]
    if (to === undefined) break
    const over = known.filter((range) => range.from <= from && to <= (range.to ?? Infinity))
    const asOf = Math.max(-1, ...over.map((range) => range.asOf))
    const last = parts.at(-1)
    if (last !== undefined && last.asOf === asOf) last.to = to
    else parts.push({ from, to, asOf })
  }
  const range = ({ from, to }: { from: number; to: number }): BlockRange => ({
    from,
    to: to === Infinity ? undefined : to,
  })
  return {
    unread: parts.filter(({ asOf }) => asOf < 0).map(range),
    stale: parts
      .filter(({ asOf }) => asOf >= 0)
      .map((part) => ({ ...range(part), asOf: part.asOf })),
  }
}

/** Pieces of at most `perPiece` blocks; the last one is as open as the range. `blocks`: of the heap. */
export function splitRange(range: BlockRange, blocks: number, perPiece: number): BlockRange[] {
  const end = range.to ?? Math.max(blocks, range.from + 1)
  const pieces: BlockRange[] = []
  for (let from = range.from; from < end; from += perPiece) {
    pieces.push({ from, to: Math.min(from + perPiece, end) })
  }
  const last = pieces.pop()
  return last === undefined ? [] : [...pieces, { from: last.from, to: range.to }]
}

/** Blocks of the range that are there. */
export function blocksIn(range: BlockRange, blocks: number): number {
  return Math.max(0, Math.min(range.to ?? blocks, blocks) - range.from)
}

/** Condition for the rows of the part; undefined for the whole table. */
export function rangeSql({ from, to }: BlockRange): string | undefined {
  const bounds: string[] = []
  if (from > 0) bounds.push(`ctid >= '(${from},0)'`)
  if (to !== undefined) bounds.push(`ctid < '(${to},0)'`)
  return bounds.length === 0 ? undefined : bounds.join(' AND ')
}

const xidSpace = 2n ** 32n

/** Ids that are in use at one time never lie further apart. */
export const xidHorizon = 2n ** 31n

/**
 * Condition for row versions, by their 32-bit `xmin`, that may be newer than a snapshot with this
 * 64-bit xmin. Never false for a newer one as long as less than `xidHorizon` ids were given out since: whoever
 * wrote it was running at the snapshot or began later, and so did its sub-transactions, whose ids
 * stand in no snapshot. True for some older ones too. A frozen row keeps its xmin.
 */
export function mayBeNewerSql(snapshotXmin: bigint): string {
  const low = snapshotXmin % xidSpace
  return `(xmin::text::bigint - ${low} + ${xidSpace}) % ${xidSpace} < ${xidHorizon}`
}

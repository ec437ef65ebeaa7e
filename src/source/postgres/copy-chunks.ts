/** Which chunks a copy reads: all of a table, or what a copy that was cut off still lacks (pure). */
import type { SnapshotChunk, UnfinishedCopy } from '../source.ts'
import {
  blocksIn,
  type BlockRange,
  formatRange,
  type KnownRange,
  parseRange,
  type RelationRange,
  restOf,
  splitRange,
  xidHorizon,
} from './block-ranges.ts'
import { readSnapshotPoint, type SnapshotPointRecord } from './snapshot-point.ts'

/** A heap as the snapshot finds it. */
export interface CopiedRelation {
  /** pg_class oid in decimal. */
  readonly relation: string
  readonly filenode: string
  /** Quoted, with its schema. */
  readonly name: string
  readonly blocks: number
}

export interface PlannedChunk {
  readonly chunk: SnapshotChunk
  readonly relation: CopiedRelation
  readonly range: BlockRange
  /** Only rows that a snapshot with this xmin may not show; undefined: all rows. */
  readonly since: bigint | undefined
}

export interface ChunkPlanOptions {
  readonly relations: readonly CopiedRelation[]
  /** Blocks of one chunk, see `chunkBlocks`. */
  readonly perChunk: number
  /** Every row has a key, so that a copy may be resumed from these chunks. */
  readonly isResumable: boolean
  readonly estimatedRows: number | undefined
  readonly blockBytes: number
}

const maxChunks = 4096
/** A refresh sends few rows: its chunks are larger, and cost about this share of a first reading. */
const refreshFactor = 16
const refreshCost = 0.1

/** Blocks of one chunk; all of them where a server reads a whole table for every part of it. */
export function chunkBlocks(
  blocks: number,
  sizes: { readonly chunkBytes: number; readonly blockBytes: number },
  canSplit: boolean,
): number {
  if (!canSplit) return Infinity
  return Math.max(Math.ceil(sizes.chunkBytes / sizes.blockBytes), Math.ceil(blocks / maxChunks), 1)
}

export function planWholeCopy(options: ChunkPlanOptions): readonly PlannedChunk[] {
  const all = { from: 0, to: undefined }
  return numbered(
    options,
    options.relations.map((relation) => ({ relation, unread: [all], stale: [] })),
    [],
  )
}

/** The text says why the copy has to begin anew. */
export function planRestOfCopy(
  options: ChunkPlanOptions,
  copy: UnfinishedCopy,
  now: SnapshotPointRecord,
): readonly PlannedChunk[] | string {
  const points = copy.points.map(readSnapshotPoint)
  const [first] = points
  if ([...points, now].some(({ isByPlace }) => isByPlace === true)) {
    return 'it was made from a standby'
  }
  if (first === undefined || now.xmax - first.xmin >= xidHorizon) {
    return 'too many transactions began since'
  }
  const known = new Map<string, KnownRange[]>(
    options.relations.map(({ relation }) => [relation, []]),
  )
  for (const { range: text, point } of copy.chunks) {
    const range: RelationRange = parseRange(text)
    const relation = options.relations.find((one) => one.relation === range.relation)
    if (relation?.filenode !== range.filenode) return 'the table was rewritten since'
    known.get(range.relation)?.push({ ...range, asOf: point })
  }
  const rest = options.relations.map((relation) => ({
    relation,
    ...restOf(known.get(relation.relation) ?? []),
  }))
  return numbered(
    options,
    rest,
    points.map(({ xmin }) => xmin),
  )
}

interface RelationRest {
  readonly relation: CopiedRelation
  readonly unread: readonly BlockRange[]
  readonly stale: readonly KnownRange[]
}

/** First what was never read, so that the refresh, which is as of one moment, comes last. */
function numbered(
  options: ChunkPlanOptions,
  rest: readonly RelationRest[],
  xmins: readonly bigint[],
): readonly PlannedChunk[] {
  const { perChunk, estimatedRows, blockBytes, isResumable } = options
  const all = options.relations.reduce((sum, { blocks }) => sum + blocks, 0)
  const planned: PlannedChunk[] = []
  const add = (relation: CopiedRelation, range: BlockRange, since: bigint | undefined): void => {
    const blocks = blocksIn(range, relation.blocks)
    const share = all === 0 ? 1 : blocks / all
    const isRefresh = since !== undefined
    const rows = estimatedRows === undefined || isRefresh ? undefined : estimatedRows * share
    const bytes = Math.round(blocks * blockBytes * (isRefresh ? refreshCost : 1))
    const text = formatRange({ ...relation, ...range })
    const chunk: SnapshotChunk = {
      id: planned.length,
      estimatedRows: rows === undefined ? undefined : Math.round(rows),
      estimatedBytes: bytes,
      ...(isResumable ? { range: text } : {}),
      ...(isRefresh ? { refresh: true } : {}),
    }
    planned.push({ chunk, relation, range, since })
  }
  for (const { relation, unread } of rest) {
    for (const range of unread) {
      for (const piece of splitRange(range, relation.blocks, perChunk))
        add(relation, piece, undefined)
    }
  }
  for (const { relation, stale } of rest) {
    for (const range of stale) {
      for (const piece of splitRange(range, relation.blocks, perChunk * refreshFactor)) {
        add(relation, piece, xmins[range.asOf])
      }
    }
  }
  return planned
}

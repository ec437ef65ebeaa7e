/** Positions and incarnations as the texts that the rest of the product keeps for us. */
import { SluiceError } from '../../base/errors.ts'
import type { Incarnation, Position } from '../source.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import type { PartitionRecords } from './partition-tree.ts'
import type { PublicationFingerprint } from './publication.ts'

/**
 * The last transaction before a position that brought changes, or the place where reading began: the
 * server has sent no change between `endLsn` and the position. It tells a log from another one that
 * went on from a copy of the same files, under the same system identifier and timeline.
 */
export interface PositionMark {
  /** Where its commit record begins, and ends. Both the same where reading began. */
  readonly finalLsn: Lsn
  readonly endLsn: Lsn
  /** 0: no transaction, reading began there. */
  readonly xid: number
  /** Microseconds since 1970. */
  readonly commitTimeUs: bigint
}

export function markOfBegin(lsn: Lsn): PositionMark {
  return { finalLsn: lsn, endLsn: lsn, xid: 0, commitTimeUs: 0n }
}

/**
 * A position is the LSN where reading goes on: the end of the last transaction, or the end of the
 * log that the server had sent when no transaction was open; and behind it the mark, if one is known.
 */
export function toPosition(lsn: bigint, mark?: PositionMark): Position {
  const place = formatLsn(lsn as Lsn)
  if (mark === undefined) return place as Position
  const { finalLsn, endLsn, xid, commitTimeUs } = mark
  return `${place} ${formatLsn(finalLsn)},${formatLsn(endLsn)},${xid},${commitTimeUs}` as Position
}

export function fromPosition(position: Position): Lsn {
  return parseLsn(position.split(' ', 1)[0] ?? '')
}

/** undefined: the position has none. */
export function markOf(position: Position): PositionMark | undefined {
  const found = / ([\dA-F/]+),([\dA-F/]+),(\d+),(-?\d+)$/.exec(position)
  if (found === null) return undefined
  const [, finalLsn = '', endLsn = '', xid = '', commitTimeUs = ''] = found
  return {
    finalLsn: parseLsn(finalLsn),
    endLsn: parseLsn(endLsn),
    xid: Number(xid),
    commitTimeUs: BigInt(commitTimeUs),
  }
}

/** Which log we read. */
export interface LogIdentity {
  /** `IDENTIFY_SYSTEM`: unique per cluster, made by initdb. */
  readonly system: string
  /** Grows at every promotion and point-in-time recovery. */
  readonly timeline: string
  /** Oid of the database. */
  readonly database: string
  readonly slot: string
}

export interface IncarnationRecord extends LogIdentity {
  /** How the publication stood when we last looked. */
  readonly publication: PublicationFingerprint
  /** Partitions of captured tables; absent when none is partitioned. */
  readonly partitions?: PartitionRecords
}

export function formatIncarnation(record: IncarnationRecord): Incarnation {
  return JSON.stringify(record) as Incarnation
}

export function parseIncarnation(text: Incarnation): IncarnationRecord {
  const refuse = (): SluiceError =>
    new SluiceError('SOURCE_INCARNATION_CHANGED', 'The saved incarnation is not one of PostgreSQL')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw refuse()
  }
  if (typeof value !== 'object' || value === null) throw refuse()
  const record = value as Partial<IncarnationRecord>
  if (record.system === undefined || record.publication === undefined) throw refuse()
  return record as IncarnationRecord
}

/** Throws SOURCE_INCARNATION_CHANGED that names what differs; timelines are another question. */
export function expectSameLog(saved: LogIdentity, now: LogIdentity): void {
  const names = {
    system: 'system identifier',
    database: 'database oid',
    slot: 'slot name',
  } as const
  for (const [key, name] of Object.entries(names) as [keyof LogIdentity, string][]) {
    if (saved[key] !== now[key]) {
      throw new SluiceError(
        'SOURCE_INCARNATION_CHANGED',
        `The ${name} of the source was ${saved[key]} and is ${now[key]} now`,
      )
    }
  }
}

/** Positions and incarnations as the texts that the rest of the product keeps for us. */
import { SluiceError } from '../../base/errors.ts'
import type { Incarnation, Position } from '../source.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import type { PartitionRecords } from './partition-tree.ts'
import type { PublicationFingerprint } from './publication.ts'

/**
 * A position is the LSN where reading goes on: the end of the last transaction, or the end of the
 * log that the server had sent when no transaction was open.
 */
export function toPosition(lsn: bigint): Position {
  return formatLsn(lsn as Lsn) as Position
}

export function fromPosition(position: Position): Lsn {
  return parseLsn(position)
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

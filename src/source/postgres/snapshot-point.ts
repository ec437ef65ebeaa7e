/**
 * What a copy of a table already shows, as a text that survives restarts (pure). A snapshot sees
 * every transaction below xmin, none from xmax on, and between them those not in its list
 * (PostgreSQL documentation, pg_snapshot).
 */
import { SluiceError } from '../../base/errors.ts'
import type { TransactionInfo } from '../change-sink.ts'
import type { Position, SnapshotPoint } from '../source.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'
import { fromPosition } from './position.ts'

export interface SnapshotPointRecord {
  /**
   * The snapshot shows exactly what commits before `lsn`, and its ids say nothing: a standby does not
   * list the transactions that run.
   */
  readonly isByPlace?: boolean
  /** 64-bit transaction ids: epoch in the high half. */
  readonly xmin: bigint
  readonly xmax: bigint
  /** Ids in [xmin, xmax) that were still running, ascending. */
  readonly running: readonly bigint[]
  /** At or after the commit record of everything the snapshot sees. */
  readonly lsn: Lsn
  /** The server's clock at the snapshot, microseconds since 1970-01-01T00:00:00Z. */
  readonly takenAtUs: bigint
}

export type ShownIds = Pick<SnapshotPointRecord, 'xmin' | 'xmax' | 'running'>

/** No server's clock is set back further than this between a commit and a snapshot that sees it. */
const clockSlackUs = 86_400_000_000n

function refuse(text: string): SluiceError {
  return new SluiceError(
    'SOURCE_PROTOCOL_UNEXPECTED',
    `"${text.slice(0, 80)}" is no snapshot point`,
  )
}

/** `xmin:xmax:xip,xip` as `pg_current_snapshot()` prints it. */
export function parsePgSnapshot(text: string): ShownIds {
  const match = /^(\d{1,20}):(\d{1,20}):([\d,]*)$/.exec(text)
  if (match === null) throw refuse(text)
  const [, xmin = '', xmax = '', list = ''] = match
  const running = list === '' ? [] : list.split(',').map((id) => BigInt(id))
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running }
}

const byPlace = 'before'

/** A point at which everything that commits before `lsn` is shown, and nothing else. */
export function pointBefore(lsn: Lsn, takenAtUs: bigint): SnapshotPointRecord {
  return { isByPlace: true, xmin: 0n, xmax: 0n, running: [], lsn, takenAtUs }
}

/** `xmin:xmax:xip,…@lsn@µs`, or `before@lsn@µs`. */
export function formatSnapshotPoint(point: SnapshotPointRecord): string {
  if (point.isByPlace === true) return `${byPlace}@${formatLsn(point.lsn)}@${point.takenAtUs}`
  const snapshot = `${point.xmin}:${point.xmax}:${point.running.join(',')}`
  return `${snapshot}@${formatLsn(point.lsn)}@${point.takenAtUs}`
}

export function readSnapshotPoint(text: string): SnapshotPointRecord {
  const [snapshot = '', lsn = '', taken = ''] = text.split('@')
  if (!/^\d{1,20}$/.test(taken)) throw refuse(text)
  if (snapshot === byPlace) return pointBefore(parseLsn(lsn), BigInt(taken))
  return { ...parsePgSnapshot(snapshot), lsn: parseLsn(lsn), takenAtUs: BigInt(taken) }
}

/**
 * The 64-bit id of the 32-bit `xid`, taken as the one nearest to `near`: ids in use at one time
 * never lie 2^31 apart.
 */
export function widenXid(xid: number, near: bigint): bigint {
  return near + BigInt((xid - Number(near & 0xffffffffn)) | 0)
}

/** True when a transaction with this 32-bit id is visible in the snapshot, if it committed at all. */
export function isVisible(point: ShownIds, xid: number): boolean {
  return isEnded(point, widenXid(xid, point.xmax))
}

/** As above, with a 64-bit id. */
export function isEnded({ xmin, xmax, running }: ShownIds, id: bigint): boolean {
  return id < xmin || (id < xmax && !running.includes(id))
}

/** True when the snapshot shows the transaction, which is known to commit. */
export function shows(
  point: SnapshotPointRecord,
  { tag, place }: Pick<TransactionInfo, 'tag' | 'place'>,
): boolean {
  if (point.isByPlace !== true) return isVisible(point, tag)
  return place !== undefined && place < point.lsn
}

export function parseSnapshotPoint(text: string): SnapshotPoint {
  const point = readSnapshotPoint(text)
  if (point.isByPlace === true) {
    return {
      covers: (transaction) => shows(point, transaction),
      isPassedBy: (position) => fromPosition(position) >= point.lsn,
    }
  }
  return {
    covers: (transaction: TransactionInfo) =>
      // Much later ids come round again; much later commits do not.
      transaction.commitTimeUs <= point.takenAtUs + clockSlackUs &&
      isVisible(point, transaction.tag),
    isPassedBy: (position: Position) => fromPosition(position) >= point.lsn,
  }
}

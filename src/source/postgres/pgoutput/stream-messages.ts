/**
 * Messages about transactions that are sent while they are in progress (PostgreSQL documentation,
 * "Logical Replication Message Formats", stream messages). Inside a block, from Stream Start to
 * Stream Stop, the messages of relations, types, rows, truncates and logical messages carry the id of
 * their (sub)transaction after the type byte.
 */
import { MessageReader } from './message-reader.ts'
import { messageType } from './message-type.ts'
import type { BeginMessage } from './decode.ts'

export const streamMessage = { start: 83, stop: 69, commit: 99, abort: 65 } as const

export interface StreamStart {
  /** Of the top-level transaction. */
  readonly xid: number
  /** Nothing of the transaction was sent before. */
  readonly isFirst: boolean
}

/** Message `S`. */
export function readStreamStart(bytes: Uint8Array, start: number, end: number): StreamStart {
  const reader = new MessageReader(bytes, start, end)
  const block = { xid: reader.uint32(), isFirst: reader.uint8() === 1 }
  reader.finish()
  return block
}

export interface StreamAbort {
  readonly xid: number
  /** Equal to `xid` when the whole transaction was rolled back. */
  readonly subXid: number
}

/** Message `A`; place and time of the abort, which come with `streaming 'parallel'`, are not kept. */
export function readStreamAbort(bytes: Uint8Array, start: number, end: number): StreamAbort {
  const reader = new MessageReader(bytes, start, end)
  const abort = { xid: reader.uint32(), subXid: reader.uint32() }
  if (end - start > 9) reader.skip(16)
  reader.finish()
  return abort
}

/** What `c` says is what an ordinary transaction's `B` and `C` say together. */
export interface StreamCommit extends BeginMessage {
  /** End of the commit record. */
  readonly endLsn: bigint
}

/** Message `c`. */
export function readStreamCommit(bytes: Uint8Array, start: number, end: number): StreamCommit {
  const reader = new MessageReader(bytes, start, end)
  const xid = reader.uint32()
  reader.skip(1)
  const commit = {
    xid,
    finalLsn: reader.lsn(),
    endLsn: reader.lsn(),
    commitTimeUs: reader.timestamp(),
  }
  reader.finish()
  return commit
}

/** Message `B` of the same transaction, had it been sent after its commit. */
export function beginOf(bytes: Uint8Array, start: number): Buffer {
  const commit = asBuffer(bytes).subarray(start)
  const begin = Buffer.alloc(21)
  begin[0] = messageType.begin
  commit.copy(begin, 1, 6, 14)
  commit.copy(begin, 9, 22, 30)
  commit.copy(begin, 17, 1, 5)
  return begin
}

/** Its message `C`. */
export function commitOf(bytes: Uint8Array, start: number): Buffer {
  const commit = Buffer.alloc(26)
  commit[0] = messageType.commit
  asBuffer(bytes).copy(commit, 1, start + 5, start + 30)
  return commit
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

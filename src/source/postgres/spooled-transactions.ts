/**
 * Transactions that the server sends while they are in progress (streaming of pgoutput, protocol
 * version 2 and later). Their messages wait in spool files. At its commit a transaction is handed
 * on as if it had been sent then, as one ordinary transaction in commit order, without what was
 * rolled back to a savepoint: the server has sent those rows too.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Failpoints } from '../../base/failpoint.ts'
import { messageType } from './pgoutput/message-type.ts'
import {
  beginOf,
  commitOf,
  readStreamAbort,
  readStreamCommit,
  readStreamStart,
  streamMessage,
} from './pgoutput/stream-messages.ts'
import { unexpectedMessage } from './pgoutput/protocol-error.ts'
import { spoolError, SpoolFile, type SpoolRoom, spoolRoom } from './spool-file.ts'
import { announces } from './spool-relations.ts'
import { XidSet } from './spool-xids.ts'

export interface SpoolOptions {
  /** Belongs to us alone: spool files found in it are removed. */
  readonly folder: string
  /** Most bytes of transactions in progress; beyond it SOURCE_SPOOL_FULL. */
  readonly maxBytes: number
}

/** What becomes of a committed transaction. */
export interface SpooledTarget {
  /** One message as protocol version 1 has it; a promise holds the next one up. */
  message(bytes: Buffer, start: number, end: number): Promise<void> | undefined
  /**
   * An `R` or `Y` message from a part that was rolled back. The server takes the relation as
   * announced, but its shape may have been rolled back as well: it holds only if rows of it follow.
   */
  rolledBackRelation(bytes: Buffer, start: number, end: number): void
  pressure(): Promise<void> | undefined
  /** Nothing may be delivered any more. */
  readonly isDone: boolean
}

interface Spooled {
  readonly xid: number
  readonly file: SpoolFile
  readonly aborted: XidSet
}

const suffix = '.spool'
/** They carry the id of a transaction. */
const spooledMessages: ReadonlySet<number> = new Set([
  messageType.relation,
  messageType.type,
  messageType.insert,
  messageType.update,
  messageType.delete,
  messageType.truncate,
  messageType.message,
])
/** Type byte and transaction id. */
const headBytes = 5

/** Makes the folder, and removes what a former process left there. */
export async function prepareSpoolFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
    for (const name of await readdir(folder)) {
      if (name.endsWith(suffix)) await unlink(join(folder, name))
    }
  } catch (error) {
    throw spoolError(error, folder)
  }
}

export class SpooledTransactions {
  readonly #folder: string
  readonly #room: SpoolRoom
  readonly #target: SpooledTarget
  readonly #failpoints: Failpoints
  readonly #stream = randomUUID()
  readonly #open = new Map<number, Spooled>()
  #block: Spooled | undefined

  constructor({ folder, maxBytes }: SpoolOptions, target: SpooledTarget, failpoints: Failpoints) {
    this.#failpoints = failpoints
    this.#folder = folder
    this.#room = spoolRoom(maxBytes)
    this.#target = target
  }

  /** Transactions in progress. */
  get count(): number {
    return this.#open.size
  }

  /** True when `type` is to be handed to `message` rather than to the decoder. */
  takes(type: number | undefined): boolean {
    return (
      this.#block !== undefined ||
      type === streamMessage.start ||
      type === streamMessage.commit ||
      type === streamMessage.abort ||
      type === streamMessage.stop
    )
  }

  /** One message of the stream. Throws SOURCE_PROTOCOL_UNEXPECTED and SOURCE_SPOOL_*. */
  message(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const block = this.#block
    const type = bytes[start] as number
    if (block === undefined) return this.#outside(type, bytes, start, end)
    if (spooledMessages.has(type)) {
      if (end - start < headBytes) throw unexpectedMessage(type, end - start, 'cut short')
      const subXid = bytes.readUInt32BE(start + 1)
      block.file.append(subXid, bytes, start, start + headBytes, end)
      return block.file.pressure()
    }
    if (type === streamMessage.stop) {
      this.#block = undefined
      block.file.flush()
      this.#failpoints.hit('source.transaction-spooled')
      return block.file.pressure()
    }
    // An origin says nothing that we keep, and carries no transaction id.
    if (type === messageType.origin) return undefined
    throw unexpectedMessage(type, 0, 'not a message of a transaction in progress')
  }

  /** Removes everything. Never throws. */
  async close(): Promise<void> {
    const files = [...this.#open.values()].map(({ file }) => file)
    this.#open.clear()
    this.#block = undefined
    await Promise.all(files.map((file) => file.remove()))
  }

  #outside(type: number, bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    switch (type) {
      case streamMessage.start:
        return this.#startBlock(bytes, start, end)
      case streamMessage.commit:
        return this.#commit(bytes, start, end)
      case streamMessage.abort:
        return this.#abort(bytes, start, end)
      default:
        throw unexpectedMessage(type, 0, 'no block of a transaction in progress is open')
    }
  }

  #startBlock(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const { xid, isFirst } = readStreamStart(bytes, start, end)
    const known = this.#open.get(xid)
    if (!isFirst && known === undefined) {
      throw unexpectedMessage(streamMessage.start, 1, `transaction ${xid} did not begin`)
    }
    if (known !== undefined && !isFirst) {
      this.#block = known
      return undefined
    }
    // Another transaction under an id that came round again: the former never ended in the log.
    const removed = known?.file.remove()
    const path = join(this.#folder, `${this.#stream}-${xid}${suffix}`)
    const block = { xid, file: new SpoolFile(path, this.#room), aborted: new XidSet() }
    this.#open.set(xid, block)
    this.#block = block
    return removed
  }

  #abort(bytes: Buffer, start: number, end: number): Promise<void> | undefined {
    const { xid, subXid } = readStreamAbort(bytes, start, end)
    const spooled = this.#open.get(xid)
    if (spooled === undefined) return undefined
    if (subXid !== xid) {
      spooled.aborted.add(subXid)
      return undefined
    }
    this.#open.delete(xid)
    return spooled.file.remove()
  }

  #commit(bytes: Buffer, start: number, end: number): Promise<void> {
    const { xid } = readStreamCommit(bytes, start, end)
    const spooled = this.#open.get(xid)
    if (spooled === undefined) {
      throw unexpectedMessage(streamMessage.commit, 1, `transaction ${xid} did not begin`)
    }
    return this.#deliver(spooled, beginOf(bytes, start), commitOf(bytes, start))
  }

  async #deliver(spooled: Spooled, begin: Buffer, commit: Buffer): Promise<void> {
    const target = this.#target
    try {
      if (target.isDone) return
      await target.message(begin, 0, begin.length)
      await spooled.file.read(
        (subXid, bytes, start, end) => this.#message(spooled, subXid, bytes, start, end),
        () => (target.isDone ? undefined : target.pressure()),
      )
      if (target.isDone) return
      this.#failpoints.hit('source.transaction-replayed')
      await target.message(commit, 0, commit.length)
    } catch (error) {
      // The stream has ended, and took the file away.
      if (!target.isDone) throw error
    } finally {
      this.#open.delete(spooled.xid)
      await spooled.file.remove()
    }
  }

  #message(
    { aborted }: Spooled,
    subXid: number,
    bytes: Buffer,
    start: number,
    end: number,
  ): Promise<void> | undefined {
    const target = this.#target
    if (target.isDone) return undefined
    if (!aborted.isEmpty && aborted.has(subXid)) {
      if (announces(bytes[start])) target.rolledBackRelation(bytes, start, end)
      return undefined
    }
    return target.message(bytes, start, end)
  }
}

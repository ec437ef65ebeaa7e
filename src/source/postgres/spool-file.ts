/**
 * Messages of one transaction that is in progress at the source, on disk until its fate is known.
 * Nothing here has to survive anything: after a crash the source sends all of it again.
 *
 * A record is the length of the message and the id of its (sub)transaction, 4 bytes little endian
 * each, then the message without that id.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises'
import { hasCode, SluiceError } from '../../base/errors.ts'

/** What all spool files of one stream share. */
export interface SpoolRoom {
  /** Most bytes that all of them may hold on disk together. */
  readonly maxBytes: number
  /** Bytes they hold now. */
  bytes: number
  /** Of those, bytes handed over for writing and not yet written. */
  unwrittenBytes: number
  /** Buffers to be used again. */
  readonly buffers: Buffer[]
}

export function spoolRoom(maxBytes: number): SpoolRoom {
  return { maxBytes, bytes: 0, unwrittenBytes: 0, buffers: [] }
}

const bufferBytes = 512 * 1024
const recordHeadBytes = 8
/** Beyond this much unwritten the reader of the stream has to wait. */
const unwrittenLimit = 4 * bufferBytes

/** Looks at one message, `bytes[start, end)`; a promise holds the reading up until it resolves. */
export type SpoolVisitor = (
  subXid: number,
  bytes: Buffer,
  start: number,
  end: number,
) => Promise<void> | undefined

export class SpoolFile {
  readonly #path: string
  readonly #room: SpoolRoom
  #handle: FileHandle | undefined
  #buffer: Buffer | undefined
  #filled = 0
  /** Handed over for writing so far. */
  #bytes = 0
  #writing: Promise<void> = Promise.resolve()

  /** The file is made when there is something to write. */
  constructor(path: string, room: SpoolRoom) {
    this.#path = path
    this.#room = room
  }

  /**
   * Keeps the message that is the byte at `typeAt` and then `bytes[from, end)`. Throws
   * SOURCE_SPOOL_FULL when that exceeds the room.
   */
  append(subXid: number, bytes: Buffer, typeAt: number, from: number, end: number): void {
    const length = 1 + end - from
    const size = recordHeadBytes + length
    let buffer = this.#buffer
    if (buffer === undefined || this.#filled + size > buffer.length) {
      this.flush()
      buffer = this.#buffer = this.#takeBuffer(size)
    }
    const at = this.#filled
    buffer.writeUInt32LE(length, at)
    buffer.writeUInt32LE(subXid, at + 4)
    buffer[at + 8] = bytes[typeAt] as number
    bytes.copy(buffer, at + 9, from, end)
    this.#filled = at + size
  }

  /** Hands what is buffered over for writing. */
  flush(): void {
    const buffer = this.#buffer
    if (buffer === undefined) return
    const length = this.#filled
    this.#buffer = undefined
    this.#filled = 0
    const room = this.#room
    if (room.bytes + length > room.maxBytes) {
      throw new SluiceError(
        'SOURCE_SPOOL_FULL',
        `Transactions in progress at the source hold more than ${room.maxBytes} bytes in ${this.#path}`,
      )
    }
    const position = this.#bytes
    this.#bytes += length
    room.bytes += length
    room.unwrittenBytes += length
    this.#writing = this.#writing.then(() => this.#write(buffer, length, position))
    // Whoever waits for it meets the error; until then it is not unhandled.
    this.#writing.catch(() => undefined)
  }

  /** Defined while too much is unwritten. Rejects with what went wrong when writing. */
  pressure(): Promise<void> | undefined {
    return this.#room.unwrittenBytes > unwrittenLimit ? this.#writing : undefined
  }

  /** Shows every message to `visit`, in order; `pause` is asked after each piece read. */
  async read(visit: SpoolVisitor, pause: () => Promise<void> | undefined): Promise<void> {
    this.flush()
    await this.#writing
    let bytes = Buffer.allocUnsafeSlow(bufferBytes)
    let filled = 0
    let position = 0
    while (position < this.#bytes) {
      const count = await this.#readAt(bytes, filled, position)
      position += count
      filled += count
      const seen = await this.#visitWhole(bytes, filled, visit)
      if (seen === 0 && filled === bytes.length) {
        const larger = Buffer.allocUnsafeSlow(recordHeadBytes + bytes.readUInt32LE(0))
        bytes.copy(larger, 0, 0, filled)
        bytes = larger
      } else {
        bytes.copyWithin(0, seen, filled)
        filled -= seen
      }
      await pause()
    }
    if (filled > 0) throw this.#failed('its last message is cut short')
  }

  /** Frees its room. Never throws. */
  async remove(): Promise<void> {
    this.#giveBuffer(this.#buffer)
    this.#buffer = undefined
    await this.#writing.catch(() => undefined)
    this.#room.bytes -= this.#bytes
    this.#bytes = 0
    const handle = this.#handle
    if (handle === undefined) return
    this.#handle = undefined
    await handle.close().catch(() => undefined)
    await unlink(this.#path).catch(() => undefined)
  }

  async #write(buffer: Buffer, length: number, position: number): Promise<void> {
    try {
      // The first write of the file makes it; the name is new, so nobody else's is overwritten.
      this.#handle ??= await open(this.#path, 'wx+', 0o600)
      let written = 0
      while (written < length) {
        const rest = length - written
        written += (await this.#handle.write(buffer, written, rest, position + written))
          .bytesWritten
      }
    } catch (error) {
      throw spoolError(error, this.#path)
    } finally {
      this.#room.unwrittenBytes -= length
      this.#giveBuffer(buffer)
    }
  }

  async #readAt(bytes: Buffer, at: number, position: number): Promise<number> {
    if (this.#handle === undefined) throw this.#failed('it is closed')
    try {
      const room = Math.min(bytes.length - at, this.#bytes - position)
      const { bytesRead } = await this.#handle.read(bytes, at, room, position)
      if (bytesRead > 0) return bytesRead
    } catch (error) {
      throw spoolError(error, this.#path)
    }
    throw this.#failed(`it ends at ${position} of ${this.#bytes} bytes`)
  }

  /** Returns where the first record begins that is not whole. */
  async #visitWhole(bytes: Buffer, filled: number, visit: SpoolVisitor): Promise<number> {
    let at = 0
    while (filled - at >= recordHeadBytes) {
      const start = at + recordHeadBytes
      const end = start + bytes.readUInt32LE(at)
      if (end > filled) break
      const wait = visit(bytes.readUInt32LE(at + 4), bytes, start, end)
      if (wait !== undefined) await wait
      at = end
    }
    return at
  }

  #takeBuffer(size: number): Buffer {
    if (size > bufferBytes) return Buffer.allocUnsafeSlow(size)
    return this.#room.buffers.pop() ?? Buffer.allocUnsafeSlow(bufferBytes)
  }

  #giveBuffer(buffer: Buffer | undefined): void {
    const { buffers } = this.#room
    if (buffer?.length === bufferBytes && buffers.length < 4) buffers.push(buffer)
  }

  #failed(what: string): SluiceError {
    return new SluiceError('SOURCE_SPOOL_FAILED', `${this.#path} cannot be read: ${what}`)
  }
}

const fullErrnos: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

/** What went wrong with `path` as an error of ours. */
export function spoolError(error: unknown, path: string): SluiceError {
  if (error instanceof SluiceError) return error
  const errno = error instanceof Error && 'code' in error ? error.code : undefined
  const code = fullErrnos.has(errno) ? 'SOURCE_SPOOL_FULL' : 'SOURCE_SPOOL_FAILED'
  return new SluiceError(code, `${path}: ${String(errno ?? error)}`, { cause: error })
}

export function isSpoolError(error: unknown): boolean {
  return hasCode(error, 'SOURCE_SPOOL_FULL') || hasCode(error, 'SOURCE_SPOOL_FAILED')
}

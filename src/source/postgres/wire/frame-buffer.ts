/**
 * Framing of backend messages over one growable buffer: bytes are received at its end and looked
 * at where they lie. PostgreSQL documentation, "Message Formats": one type byte, then a big-endian
 * Int32 length that counts itself but not the type byte.
 */
import { SluiceError } from '../../../base/errors.ts'

/** Free space offered for every read. */
const readBytes = 256 * 1024
/** The server's own limit for a message is MaxAllocSize, a little less than 1 GiB. */
const maxMessageBytes = 0x3fffffff + 64

export class FrameBuffer {
  #bytes = Buffer.allocUnsafeSlow(2 * readBytes)
  #start = 0
  #end = 0

  /** Set by `next`: the message's type byte and the range of its content in `bytes`. */
  type = 0
  contentStart = 0
  contentEnd = 0

  /** Valid until the next call of `writable` or `append`. */
  get bytes(): Buffer {
    return this.#bytes
  }

  /** Received bytes that `next` has not passed yet. */
  get pendingBytes(): number {
    return this.#end - this.#start
  }

  /**
   * Where the next bytes are to be put, at least `readBytes` of room. Moves what is pending, so
   * every range handed out before is void.
   */
  writable(): Buffer {
    // A claimed length is not believed before its bytes are there.
    this.#reserve(readBytes)
    return this.#bytes.subarray(this.#end)
  }

  /** `count` bytes were put where `writable` said. */
  wrote(count: number): void {
    this.#end += count
  }

  append(chunk: Uint8Array): void {
    this.#reserve(chunk.length)
    this.#bytes.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** Moves on to the next whole message; false when there is none yet. */
  next(): boolean {
    const at = this.#start
    const bytes = this.#bytes
    if (this.#end - at < 5) return false
    const length = this.#lengthAt(at)
    const end = at + 1 + length
    if (end > this.#end) return false
    this.type = bytes[at] as number
    this.contentStart = at + 5
    this.contentEnd = end
    this.#start = end
    return true
  }

  #lengthAt(at: number): number {
    const length = this.#bytes.readInt32BE(at + 1)
    if (length < 4 || length > maxMessageBytes) {
      throw new SluiceError(
        'SOURCE_PROTOCOL_UNEXPECTED',
        `A message of type ${this.#bytes[at]} claims a length of ${length}`,
      )
    }
    return length
  }

  #reserve(room: number): void {
    if (this.#start === this.#end) this.#start = this.#end = 0
    if (this.#bytes.length - this.#end >= room) return
    const pending = this.#end - this.#start
    if (pending + room <= this.#bytes.length) {
      this.#bytes.copyWithin(0, this.#start, this.#end)
    } else {
      const grown = Buffer.allocUnsafeSlow(Math.max(pending + room, this.#bytes.length * 2))
      this.#bytes.copy(grown, 0, this.#start, this.#end)
      this.#bytes = grown
    }
    this.#start = 0
    this.#end = pending
  }
}

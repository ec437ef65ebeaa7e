/** A cursor over one pgoutput message; integers are big endian. Reading past the end is an error. */
import { unexpectedMessage } from './protocol-error.ts'

/** Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's clock starts. */
const postgresEpochUs = 946684800000000n

export class MessageReader {
  readonly #bytes: Buffer
  readonly #start: number
  readonly #end: number
  #at: number

  /** The message is `bytes[start, end)`; the cursor stands after its type byte. */
  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#start = start
    this.#end = Math.min(end, bytes.length)
    this.#at = start + 1
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#take(2))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#take(4))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#take(4))
  }

  lsn(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8))
  }

  /** Microseconds since 1970-01-01T00:00:00Z. */
  timestamp(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8)) + postgresEpochUs
  }

  /** UTF-8 text that ends with a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end < 0 || end >= this.#end) throw this.error('a text has no end')
    const text = this.#bytes.toString('utf8', this.#at, end)
    this.#at = end + 1
    return text
  }

  skip(length: number): void {
    this.#take(length)
  }

  /** Every byte of the message has to be accounted for. */
  finish(): void {
    if (this.#at !== this.#end) throw this.error(`${this.#end - this.#at} bytes too many`)
  }

  error(what: string): Error {
    return unexpectedMessage(
      this.#bytes[this.#start] ?? 0,
      Math.min(this.#at, this.#end) - this.#start,
      what,
    )
  }

  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#end) throw this.error('cut short')
    this.#at = at + length
    return at
  }
}

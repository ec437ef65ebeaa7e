/**
 * Announcements of relations from rolled back parts of transactions. The server counts them as made;
 * for us they hold only once a row of the relation follows: an `ALTER TABLE` that was rolled back
 * with them must not change a schema, and after it the server announces the relation again.
 */
import { messageType } from './pgoutput/message-type.ts'

const rowMessages: ReadonlySet<number> = new Set([
  messageType.insert,
  messageType.update,
  messageType.delete,
])

export class RolledBackRelations {
  /** By oid: the messages of its types, then its own. */
  readonly #announcements = new Map<number, Buffer[]>()
  /** Types are announced right before the relation that has them. */
  #types: Buffer[] = []

  get isEmpty(): boolean {
    return this.#announcements.size === 0
  }

  /** An `R` or `Y` message. */
  keep(bytes: Buffer, start: number, end: number): void {
    const message = Buffer.from(bytes.subarray(start, end))
    this.#types.push(message)
    if (message[0] !== messageType.relation) return
    this.#announcements.set(message.readUInt32BE(1), this.#types)
    this.#types = []
  }

  /** The messages that have to be taken in before `bytes[start, end)` is; each comes once. */
  takeFor(bytes: Buffer, start: number, end: number): readonly Buffer[] {
    const type = bytes[start] as number
    if (type === messageType.relation && end - start >= 5) {
      this.#announcements.delete(bytes.readUInt32BE(start + 1))
      return []
    }
    if (rowMessages.has(type) && end - start >= 5) return this.#take(bytes.readUInt32BE(start + 1))
    if (type !== messageType.truncate) return []
    const due: Buffer[] = []
    // A count of relations, one byte of options, then their oids.
    for (let at = start + 6; at + 4 <= end; at += 4) due.push(...this.#take(bytes.readUInt32BE(at)))
    return due
  }

  #take(oid: number): readonly Buffer[] {
    const messages = this.#announcements.get(oid)
    if (messages === undefined) return []
    this.#announcements.delete(oid)
    return messages
  }
}

/** True for `R` and `Y`, which count also when they come from a part that was rolled back. */
export function announces(type: number | undefined): boolean {
  return type === messageType.relation || type === messageType.type
}

/**
 * Sessions whose copy is over, kept for the next one: of many small tables most of a copy's time
 * would go into connecting. They are outside of any transaction, so they hold nothing back.
 */
import type { PostgresOptions } from './connection-options.ts'
import { WireConnection } from './wire/wire-connection.ts'

/** More than that nobody begins at a time. */
const mostIdle = 2

export class IdleSessions {
  readonly #idle: WireConnection[] = []
  #isClosed = false

  async open(options: PostgresOptions): Promise<WireConnection> {
    for (let kept = this.#idle.pop(); kept !== undefined; kept = this.#idle.pop()) {
      if (!kept.isClosed) return kept
    }
    return await WireConnection.open(options)
  }

  /** Ends the transaction of a session that reads nothing, and keeps or closes it. */
  async giveBack(session: WireConnection): Promise<void> {
    try {
      await session.query('COMMIT', 'ending a copy')
    } catch {
      session.destroy()
      return
    }
    if (this.#isClosed || this.#idle.length >= mostIdle) session.close()
    else this.#idle.push(session)
  }

  close(): void {
    this.#isClosed = true
    for (const session of this.#idle.splice(0)) session.close()
  }
}

/**
 * Which tables the present session of the stream can be trusted with (pure state). A transaction that
 * was open while a table came into the publication is decoded with the catalog of its beginning, and
 * servers before 13.21, 14.18, 15.13, 16.9 and 17.5 then keep, for the rest of that session, that the
 * table is not published: everything that follows is skipped without a word. So a table may be copied
 * only once its stream began at a place that no such transaction reaches.
 */
import { type Lsn, zeroLsn } from './lsn.ts'

interface Settled {
  readonly since: bigint
  readonly lsn: Lsn
}

export class SessionTrust {
  #from: Lsn = zeroLsn
  #renewAfter: Lsn | undefined
  readonly #settled = new Map<string, Settled>()

  /** The stream has to begin anew once it has delivered everything before this. */
  get renewAfter(): Lsn | undefined {
    return this.#renewAfter
  }

  /** The present session delivers what commits after `from`; later ones begin no earlier. */
  begin(from: Lsn): void {
    if (from > this.#from) this.#from = from
    if (this.#renewAfter !== undefined && this.#from >= this.#renewAfter) {
      this.#renewAfter = undefined
    }
  }

  /**
   * Every transaction older than `since`, from when `table` is published, commits before `lsn`. The
   * session that has come there ends, so this is said before anything is written to wake it.
   */
  settle(table: string, since: bigint, lsn: Lsn): void {
    if (this.#settled.get(table)?.since === since) return
    this.#settled.set(table, { since, lsn })
    if (this.#from >= lsn) return
    if (this.#renewAfter === undefined || lsn > this.#renewAfter) this.#renewAfter = lsn
  }

  /** 'open': nobody has said yet that the transactions older than `since` have ended. */
  of(table: string, since: bigint): 'open' | 'renewing' | 'trusted' {
    const settled = this.#settled.get(table)
    if (settled?.since !== since) return 'open'
    return this.#from >= settled.lsn ? 'trusted' : 'renewing'
  }
}

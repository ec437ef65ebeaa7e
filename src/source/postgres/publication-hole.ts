/**
 * A place in the log where the publication did not exist. Servers before 18 cannot decode a change
 * there, now or ever; so reading goes on behind it, and every table is copied anew.
 */
import { hasCode } from '../../base/errors.ts'
import type { StreamEnd, StreamOptions } from '../source.ts'
import type { Control } from './control.ts'
import type { Lsn } from './lsn.ts'
import { fromPosition, markOfBegin, toPosition } from './position.ts'
import type { PublicationGuard } from './publication-guard.ts'
import { endOfLog } from './wal-flush.ts'

export interface PublicationHoleOptions {
  readonly control: Control
  readonly publication: Pick<PublicationGuard, 'watch' | 'takeGaps'>
  readonly publicationName: string
}

export class PublicationHole {
  readonly #options: PublicationHoleOptions
  /** From here on the publication exists. */
  #end: Lsn | undefined

  constructor(options: PublicationHoleOptions) {
    this.#options = options
  }

  /**
   * Runs `read` behind the hole, if one was met; the sink is told first what was left out. 'renew'
   * when a hole is met now. Whoever kept nothing of this meets the hole again.
   */
  async readBehind(
    stream: StreamOptions,
    read: (stream: StreamOptions) => Promise<StreamEnd>,
  ): Promise<StreamEnd> {
    const from = this.#skip(stream)
    try {
      return await read({ ...stream, from })
    } catch (error) {
      if (!hasCode(error, 'SOURCE_PUBLICATION_MISSING') || !(await this.#find())) throw error
      return 'renew'
    }
  }

  #skip({ from, until, tables, sink }: StreamOptions): StreamOptions['from'] {
    const end = this.#end
    if (end === undefined || fromPosition(from) >= end) return from
    // What was to be told of one of them is told by this.
    this.#options.publication.takeGaps()
    for (const { id } of tables) {
      sink.gap(id, 'the publication did not exist at a place in the log that had to be left out')
    }
    // Reading ends where it was to end, and the next begins behind the hole as well.
    if (until !== undefined && fromPosition(until) <= end) return until
    // What was sent before can not be read once more.
    const behind = toPosition(end, markOfBegin(end))
    sink.heartbeat(behind)
    return behind
  }

  /** False when there is no publication, and none can be made. */
  async #find(): Promise<boolean> {
    const { control, publication, publicationName } = this.#options
    await publication.watch()
    const [row] = await control.query('SELECT 1 AS one FROM pg_publication WHERE pubname = $1', [
      publicationName,
    ])
    if (row === undefined) return false
    this.#end = await endOfLog(control)
    return true
  }
}

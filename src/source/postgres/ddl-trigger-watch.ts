/**
 * The event triggers as one stream meets them: whether they are there, what they write into the log,
 * and what follows from it. Without them, or when they go away, nothing but haste is lost.
 */
import type { Log } from '../../observe/log.ts'
import type { SourceTable, TableId } from '../table-schema.ts'
import type { Control } from './control.ts'
import { type Described, DescribedTables } from './ddl-described.ts'
import { messagePrefix, parseDdlMessage } from './ddl-messages.ts'
import { readTriggerState, type TriggerState } from './ddl-trigger.ts'
import { readLogicalMessage } from './pgoutput/logical-message.ts'
import { canSendMessages } from './start-options.ts'

export interface TriggerWatchOptions {
  readonly control: Pick<Control, 'query'>
  readonly log: Log
  /** `server_version_num`. */
  readonly serverVersion: number
}

export class TriggerWatch {
  readonly described = new DescribedTables()
  readonly #options: TriggerWatchOptions
  #state: TriggerState = { kind: 'missing' }
  /** The one that the stream was begun with. */
  #token: string | undefined

  constructor(options: TriggerWatchOptions) {
    this.#options = options
  }

  /** Before the stream: true when it is to ask for logical messages. */
  async begin(): Promise<boolean> {
    await this.look()
    this.#token = this.#state.kind === 'ready' ? this.#state.token : undefined
    this.described.isInForce = this.#token !== undefined
    return this.#token !== undefined
  }

  /** True when the stream should begin anew, to hear of triggers that are there by now. */
  async look(): Promise<boolean> {
    const { control, log, serverVersion } = this.#options
    if (!canSendMessages(serverVersion)) return false
    const before = this.#state.kind
    this.#state = await readTriggerState(control)
    const { kind } = this.#state
    if (kind !== before) log.info('event triggers for schema changes', { state: kind })
    const now = this.#state.kind === 'ready' ? this.#state.token : undefined
    if (now !== this.#token) this.described.isInForce = false
    return now !== undefined && now !== this.#token
  }

  /** The stream sends logical messages. */
  get isHeard(): boolean {
    return this.#token !== undefined
  }

  /** A logical message of a transaction that is delivered; true when it is one of the triggers. */
  message(bytes: Buffer, start: number, end: number): boolean {
    const token = this.#token
    if (token === undefined) return false
    const { isTransactional, prefix, content } = readLogicalMessage(bytes, start, end)
    if (!isTransactional || prefix !== messagePrefix || content.length === 0) return false
    const message = parseDdlMessage(content, token, this.#options.log)
    if (message === undefined) {
      this.#options.log.debug('a message under our prefix is not from our triggers')
      return false
    }
    this.described.note(message)
    return true
  }

  /** What was described of tables that were not announced in the transaction that ended. */
  takeWaiting(tables: {
    followed(id: TableId): SourceTable | undefined
  }): readonly (readonly [SourceTable, Described])[] {
    return this.described.waiting.flatMap((id) => {
      const base = tables.followed(id as TableId)
      const described = base === undefined ? undefined : this.described.take(id, base.schema)
      return base === undefined || described === undefined ? [] : [[base, described] as const]
    })
  }
}

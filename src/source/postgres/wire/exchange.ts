/** Conversations on a connection: what one is, how it ends, and what does not belong into it. */
import { SluiceError } from '../../../base/errors.ts'
import { fromServerError, type ServerError } from '../server-error.ts'
import { backend } from './messages.ts'
import { deniedRemedy } from './startup-error.ts'

/**
 * A conversation in progress. A promise returned from either method stops reading until it
 * resolves. The bytes handed over are good during the call alone: room for the next read is made at once.
 */
export interface Exchange {
  /** For messages of an error: "copying public.orders". */
  readonly doing: string
  message(type: number, bytes: Buffer, start: number, end: number): Promise<void> | undefined
  /** Everything whole that came so far was handed over; `count` bytes came with the last read. */
  readDone?(count: number): Promise<void> | undefined
  /** What an error of the server means here. */
  explain?(error: ServerError): SluiceError
  /** Nothing has come for a while: ask the peer for a sign of life. */
  nudge?(): void
}

export interface Running {
  readonly exchange: Exchange
  readonly resolve: () => void
  readonly reject: (error: SluiceError) => void
  error: ServerError | undefined
}

export type Row = readonly (string | null)[]

/** What a statement may be answered with, beside rows and their description. */
export const answersOfQuery: ReadonlySet<number> = new Set([
  backend.parseComplete,
  backend.bindComplete,
  backend.noData,
  backend.commandComplete,
  backend.emptyQueryResponse,
])

/** The server's error as ours. `user`: to whom a privilege is to be granted. */
export function errorOf(error: ServerError, exchange: Exchange, user: string): SluiceError {
  if (exchange.explain !== undefined) return exchange.explain(error)
  const known = fromServerError(error, exchange.doing)
  if (known.code !== 'SOURCE_PERMISSION_DENIED') return known
  return new SluiceError(known.code, known.message, {
    cause: known.cause,
    remedy: deniedRemedy(user),
  })
}

export function unexpectedType(type: number, when: string): SluiceError {
  const shown = type >= 0x20 && type < 0x7f ? `"${String.fromCharCode(type)}"` : String(type)
  return new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `A message of type ${shown} came ${when}`)
}

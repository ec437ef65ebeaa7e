/** Conversations on a connection: what one is, how it ends, and what does not belong into it. */
import { SluiceError } from '../../../base/errors.ts'
import { fromServerError, type ServerError } from '../server-error.ts'
import { backend } from './messages.ts'

/**
 * A conversation in progress. A promise returned from either method stops reading until it
 * resolves; the bytes handed over stay where they are for that long.
 */
export interface Exchange {
  /** For messages of an error: "copying public.orders". */
  readonly doing: string
  message(type: number, bytes: Buffer, start: number, end: number): Promise<void> | undefined
  /** Everything whole that came so far was handed over; `count` bytes came with the last read. */
  readDone?(count: number): Promise<void> | undefined
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

/** The server's error as ours. */
export function errorOf(error: ServerError, exchange: Exchange): SluiceError {
  const isStartup = exchange.doing.startsWith('connecting')
  // Poolers know few start-up parameters and say so with a protocol violation.
  if (isStartup && error.sqlState === '08P01') {
    return new SluiceError('SOURCE_POOLER', `${exchange.doing}: "${error.message}"`, {
      cause: error,
    })
  }
  return fromServerError(error, exchange.doing)
}

export function unexpectedType(type: number, when: string): SluiceError {
  const shown = type >= 0x20 && type < 0x7f ? `"${String.fromCharCode(type)}"` : String(type)
  return new SluiceError('SOURCE_PROTOCOL_UNEXPECTED', `A message of type ${shown} came ${when}`)
}

/** One stream from the source into a buffer of its own, from the staged position on. */
import { asSluiceError, SluiceError } from '../base/errors.ts'
import type { Position, Source, SourceTable, StreamEnd } from '../source/source.ts'
import type { Progress } from './progress.ts'
import { TransactionBuffer, type TransactionBufferOptions } from './transaction-buffer.ts'

export interface StreamSessionOptions {
  readonly source: Source
  readonly progress: Progress
  readonly tables: readonly SourceTable[]
  readonly until?: Position
  /** The last staged commit of this stream is marked as a barrier. */
  readonly barrier?: boolean
  readonly buffer: Omit<TransactionBufferOptions, 'progress' | 'onFailure'>
  readonly signal: AbortSignal
  /** Works beside the stream, given its signal; the stream ends, without an error, when it resolves. */
  readonly beside?: (signal: AbortSignal) => Promise<void>
}

/**
 * Resolves when the stream was ended and what it delivered is staged and acknowledged. Rejects when
 * it broke; whole transactions delivered before are staged all the same. 'renew': call it again.
 */
export async function runStream(options: StreamSessionOptions): Promise<StreamEnd> {
  const { source, progress, tables, until, signal } = options
  const from = progress.state?.position
  if (from === undefined) throw new RangeError('streamed before the source was prepared')
  const stop = new AbortController()
  const abort = (): void => stop.abort()
  if (signal.aborted) abort()
  signal.addEventListener('abort', abort)
  let failure: { readonly error: unknown } | undefined
  let end: StreamEnd = 'ended'
  const fail = (error: unknown): void => {
    failure ??= { error }
    abort()
  }
  const buffer = new TransactionBuffer({ ...options.buffer, progress, onFailure: fail })
  const beside = options.beside?.(stop.signal).then(abort, fail)
  try {
    const target = until === undefined ? {} : { until }
    end = await source.streamChanges({ from, tables, sink: buffer, signal: stop.signal, ...target })
    if (end === 'ended' && until === undefined && !stop.signal.aborted) throw streamEnded()
  } catch (error) {
    // A stream that was asked to end may do so with any error.
    if (!stop.signal.aborted) failure ??= { error }
  }
  // What ended the stream meanwhile needs no new one.
  if (stop.signal.aborted) end = 'ended'
  const isComplete = failure === undefined && !stop.signal.aborted && end === 'ended'
  abort()
  signal.removeEventListener('abort', abort)
  await buffer.drain({ barrier: options.barrier === true && isComplete })
  await beside
  if (failure !== undefined) throw asSluiceError(failure.error)
  return end
}

function streamEnded(): SluiceError {
  return new SluiceError('GATEWAY_STREAM_ENDED', 'the source ended its stream of changes')
}

/** Follows running work until it ends: redraws on a terminal, prints lines or events elsewhere. */
import type { Clock } from '../base/clock.ts'
import type { Running } from './app.ts'
import type { Output } from './output.ts'
import { plainEvent, plainProgress, renderProgress } from './progress.ts'
import { ProgressTracker, type ProgressView, type TableEvent } from './progress-tracker.ts'

export interface WatchOptions {
  readonly output: Output
  readonly clock: Clock
  /** The caller tells, in human format, what failed: of its result nothing need be told before. */
  readonly isSummarized?: boolean
}

const liveIntervalMs = 150
const eventIntervalMs = 1000
const plainIntervalMs = 10_000
/** A few workers copy at a time; of more tables than that an event tells only the first. */
const mostCopies = 20

/** Resolves or rejects as `running.done` does; the display's last state stays on the screen. */
export async function watchProgress<T extends Pick<Running, 'progress'>, R>(
  running: T,
  done: Promise<R>,
  { output, clock, isSummarized = false }: WatchOptions,
): Promise<R> {
  const tracker = new ProgressTracker(clock.nowMs())
  let reportedAtMs = clock.nowMs()
  let isDone = false
  const report = (isLast: boolean): void => {
    try {
      show(isLast)
    } catch {
      // A display that fails must neither end the work nor hide how it ended.
    }
  }
  const show = (isLast: boolean): void => {
    const nowMs = clock.nowMs()
    const { view, events } = tracker.observe(running.progress(), nowMs)
    const isTold = isDone && isSummarized && output.format === 'human'
    for (const event of events) {
      if (!isTold || event.problem === undefined) reportEvent(output, event)
    }
    if (output.isLive) output.live(renderProgress(view, progressStyle(output)))
    const interval = output.format === 'json' ? eventIntervalMs : plainIntervalMs
    if (!output.isLive && (isLast || nowMs - reportedAtMs >= interval)) {
      reportedAtMs = nowMs
      reportProgress(output, view)
    }
  }
  const timer = setInterval(() => report(false), output.isLive ? liveIntervalMs : eventIntervalMs)
  try {
    report(false)
    const result = await done
    isDone = true
    return result
  } finally {
    clearInterval(timer)
    report(true)
    output.keepLive()
  }
}

function progressStyle(output: Output): Parameters<typeof renderProgress>[1] {
  return {
    columns: output.liveColumns,
    rows: output.liveRows,
    hasUnicode: output.hasUnicode,
    style: (style, text) => output.style(style, text),
  }
}

function reportEvent(output: Output, event: TableEvent): void {
  if (output.format === 'json') {
    const { table, stage, rows, anew, problem } = event
    output.event('table', { table, stage, rows, anew, problem })
  } else if (!output.isLive || event.problem !== undefined) {
    for (const line of plainEvent(event).split('\n')) output.note(line)
  }
}

function reportProgress(output: Output, view: ProgressView): void {
  if (output.format === 'human') {
    output.note(plainProgress(view))
    return
  }
  const count = (stage: string): number =>
    view.tables.filter((table) => table.stage === stage).length
  output.event('progress', {
    phase: view.phase,
    elapsed_seconds: view.elapsedSeconds,
    tables: view.tables.length,
    tables_loaded: count('loaded'),
    tables_failed: count('failed'),
    copied_share: view.share,
    bytes_copied: view.bytesCopied,
    eta_seconds: view.etaSeconds,
    rows_copied: view.tables.reduce((total, table) => total + table.rows, 0),
    transactions: view.transactions,
    changes: view.changes,
    changes_per_second: view.changesPerSecond,
    lag_bytes: view.lagBytes,
    seconds_to_loss: view.secondsToLoss,
    freshness_p50_seconds: view.freshness?.p50Seconds,
    freshness_p99_seconds: view.freshness?.p99Seconds,
    copies: view.tables
      .filter(({ stage }) => stage === 'snapshotting')
      .slice(0, mostCopies)
      .map(({ name, rows, bytes, share, etaSeconds }) => ({
        table: name,
        rows,
        bytes,
        share,
        eta_seconds: etaSeconds,
      })),
  })
}

/** How `run` and `refresh` end. */
import type { RunProgress, Running, RunResult } from './app.ts'
import type { CommandCall, ExitCode } from './command.ts'
import { printProblem } from './error-print.ts'
import { countOf, formatBytes, formatSeconds } from './text.ts'
import { watchProgress } from './watch.ts'

/** Follows the work, prints its result; 0 only when nothing asked for is left undone. */
export async function finishRun(
  call: CommandCall,
  running: Running,
  options: { readonly mode: 'once' | 'continuous' },
): Promise<ExitCode> {
  const startedAtMs = call.clock.nowMs()
  const result = await watchProgress(running, running.done, { ...call, isSummarized: true })
  const seconds = (call.clock.nowMs() - startedAtMs) / 1000
  const isStopped = call.signal.aborted && options.mode === 'once'
  const isUpToDate = !call.signal.aborted && options.mode === 'once'
  const lagBytes = lagOf(running.progress())
  printResult(call, result, { seconds, isStopped, isUpToDate, lagBytes })
  return result.failedTables.length > 0 || isStopped ? 1 : 0
}

/** Of all gateways together, as their sources said last. */
function lagOf({ gateways }: RunProgress): bigint {
  return gateways.reduce((sum, { status }) => sum + (status.lagBytes ?? 0n), 0n)
}

function printResult(
  { output, program }: CommandCall,
  result: RunResult,
  run: {
    readonly seconds: number
    readonly isStopped: boolean
    readonly isUpToDate: boolean
    readonly lagBytes: bigint
  },
): void {
  const { failedTables, rowsLoaded, changesApplied, stagedCommit, tableCount } = result
  output.event('finished', {
    tables: tableCount,
    rows_loaded: rowsLoaded,
    changes_applied: changesApplied,
    staged_commit: stagedCommit,
    failed_tables: failedTables,
    seconds: run.seconds,
    stopped: run.isStopped,
  })
  if (output.format === 'json') return
  for (const { table, problem } of failedTables) printProblem(output, problem, table)
  const done = [
    `${countOf(tableCount, 'table')} ${run.isUpToDate ? 'up to date' : 'without a problem'}`,
    `${countOf(rowsLoaded, 'row')} loaded`,
    `${countOf(changesApplied, 'change')} applied`,
    formatSeconds(run.seconds),
  ].join(', ')
  output.line(output.style(failedTables.length === 0 ? 'green' : 'yellow', done))
  // A stop leaves what the source had written and nobody read yet.
  if (!run.isUpToDate && !run.isStopped && run.lagBytes > 0n) {
    output.line(
      `stopped; the source's log was ${formatBytes(run.lagBytes)} ahead when last seen: run it again to go on`,
    )
  }
  if (failedTables.length > 0) output.line(`${countOf(failedTables.length, 'table')} failed`)
  if (run.isStopped && result.goesOnElsewhere === true) {
    output.line(
      `stopped waiting; the refresh goes on in the running process ("${program} status" shows it)`,
    )
  } else if (run.isStopped)
    output.line(`stopped; run it again to go on ("${program} status" shows where)`)
}

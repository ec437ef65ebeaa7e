/** How `run` and `refresh` end. */
import type { Running, RunResult } from './app.ts'
import type { CommandCall, ExitCode } from './command.ts'
import { printProblem } from './error-print.ts'
import { countOf, formatSeconds } from './text.ts'
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
  printResult(call, result, { seconds, isStopped })
  return result.failedTables.length > 0 || isStopped ? 1 : 0
}

function printResult(
  { output, program }: CommandCall,
  result: RunResult,
  run: { readonly seconds: number; readonly isStopped: boolean },
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
    `${countOf(tableCount, 'table')} up to date`,
    `${countOf(rowsLoaded, 'row')} loaded`,
    `${countOf(changesApplied, 'change')} applied`,
    formatSeconds(run.seconds),
  ].join(', ')
  output.line(output.style(failedTables.length === 0 ? 'green' : 'yellow', done))
  if (failedTables.length > 0) output.line(`${countOf(failedTables.length, 'table')} failed`)
  if (run.isStopped && result.goesOnElsewhere === true) {
    output.line(
      `stopped waiting; the refresh goes on in the running process ("${program} status" shows it)`,
    )
  } else if (run.isStopped)
    output.line(`stopped; run it again to go on ("${program} status" shows where)`)
}

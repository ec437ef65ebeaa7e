/** `sluice quickstart`: the whole product in a minute, with a private PostgreSQL as the source. */
import { relative } from 'node:path'
import type { QuickstartResult, Running } from '../app.ts'
import { numberOption, type Command, type CommandCall } from '../command.ts'
import { countOf, formatCount, formatSeconds } from '../text.ts'
import { isProven, printVerified } from '../verified-print.ts'
import { watchProgress } from '../watch.ts'

export const quickstartCommand: Command = {
  name: 'quickstart',
  usage: '[--seconds N] [--rows N] [--rate N] [--data DIR]',
  summary: 'See it work: a private PostgreSQL, a shop with a million rows, live changes.',
  help: [
    'Starts a private PostgreSQL on a free port of this machine, fills a shop, copies it, follows a',
    'running workload, proves that the tables are equal, and stops everything. Needs no database and',
    'no rights. A second run begins anew: it removes what the first one made, and nothing else.',
  ],
  options: {
    seconds: { type: 'string', value: 'N', help: 'Streaming after the first load. Default: 30' },
    rows: { type: 'string', value: 'N', help: 'Rows of the first load, about. Default: 1200000' },
    rate: { type: 'string', value: 'N', help: 'Changes per second. Default: 800' },
  },
  minimumPositionals: 0,
  maximumPositionals: 0,
  run: async (call) => {
    const seconds = numberOption(call, 'seconds', { minimum: 0, maximum: 86_400, fallback: 30 })
    const rows = numberOption(call, 'rows', { minimum: 1000, maximum: 1e9, fallback: 1_200_000 })
    const rate = numberOption(call, 'rate', { minimum: 1, maximum: 100_000, fallback: 800 })
    return await call.withApp('none', async (app) => {
      const display = createDisplay(call)
      const result = await app.quickstart({
        seconds,
        rows: Math.round(rows),
        changesPerSecond: rate,
        signal: call.signal,
        onStep: (message) => display.step(message),
        onRunning: (running) => display.follow(running),
        onTable: (table) => {
          display.end()
          printVerified(call.output, table)
        },
      })
      display.end()
      printSummary(call, result)
      const isProvenEqual = result.verified?.tables.every(isProven) === true
      return isProvenEqual && !result.wasStopped ? 0 : 1
    })
  },
}

interface Display {
  step(message: string): void
  follow(running: Running): void
  end(): void
}

function createDisplay(call: CommandCall): Display {
  let endFollowing: (() => void) | undefined
  const end = (): void => {
    endFollowing?.()
    endFollowing = undefined
  }
  return {
    end,
    step: (message) => {
      call.output.event('step', { message })
      if (call.output.format === 'human') call.output.note(call.output.style('bold', message))
    },
    follow: (running) => {
      end()
      const until = new Promise<void>((resolve) => (endFollowing = resolve))
      // The work's own failure is the quickstart's to report.
      const ended = running.done.then(
        () => undefined,
        () => undefined,
      )
      watchProgress(running, Promise.race([until, ended]), call).catch(() => undefined)
    },
  }
}

function printSummary({ output, program }: CommandCall, result: QuickstartResult): void {
  const { verified, queries, freshness, ...numbers } = result
  const tables = verified?.tables ?? []
  output.event('finished', {
    ...numbers,
    freshness,
    tables_equal: tables.filter(isProven).length,
    queries,
  })
  if (output.format === 'json') return
  output.line()
  if (result.wasStopped) {
    output.line(output.style('yellow', 'stopped; nothing of it runs any more'))
    return
  }
  const rate = result.loadSeconds > 0 ? result.rowsLoaded / result.loadSeconds : 0
  output.line(
    `loaded    ${countOf(result.rowsLoaded, 'row')} of ${countOf(result.tableCount, 'table')} in ${formatSeconds(result.loadSeconds)} (${formatCount(rate)} rows/s)`,
  )
  output.line(
    `streamed  ${countOf(result.changes, 'change')} in ${countOf(result.transactions, 'transaction')}`,
  )
  if (freshness !== undefined) {
    output.line(
      `freshness p50 ${formatSeconds(freshness.p50Seconds)}, p99 ${formatSeconds(freshness.p99Seconds)} from source commit to visible table version`,
    )
  }
  const equal = tables.filter(isProven).length
  if (tables.length > 0) {
    const colour = equal === tables.length ? 'green' : 'red'
    output.line(
      output.style(colour, `verified  ${equal} of ${countOf(tables.length, 'table')} equal`),
    )
  }
  output.line(`tables    ${shorter(result.lakeFolder)}`)
  output.line(`file      ${shorter(result.resourceFile)}`)
  if (queries.length === 0) return
  output.line()
  output.line('Look at them:')
  const data = quoteForShell(shorter(result.dataFolder))
  for (const sql of queries) output.line(`  ${program} query ${quoteForShell(sql)} --data ${data}`)
  output.line(`  ${program} status --data ${data}`)
  output.line(
    'Its server has ended with it: verify, refresh and run of this folder would find none. To see those, take a database of your own.',
  )
}

/** Relative to where the person is, when that is shorter. */
function shorter(path: string): string {
  const near = relative(process.cwd(), path)
  return near !== '' && near.length < path.length ? near : path
}

function quoteForShell(text: string): string {
  if (/^[\w./:@%+=-]+$/.test(text)) return text
  // Double quotes work in every shell as long as nothing in them is special.
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", `'\\''`)}'` : `"${text}"`
}

/** `sluice status`: where every table stands. */
import type { HeldBack, StatusGateway, StatusPipeline, StatusReport, StatusTable } from '../app.ts'
import type { Command, CommandCall, ExitCode } from '../command.ts'
import { printProblem } from '../error-print.ts'
import { printTable } from '../table-print.ts'
import { countOf, formatBytes, formatSeconds, printable } from '../text.ts'

export const statusCommand: Command = {
  name: 'status',
  usage: '[--data DIR]',
  summary: 'Show where every gateway, pipeline and table stands.',
  help: [
    'Shows per table its state, rows, applied commit and freshness, and per gateway how far it is',
    'behind its source and how long the log of the source will last. Names the tables whose rows',
    'are held back in a quarantine.',
  ],
  options: {},
  minimumPositionals: 0,
  maximumPositionals: 0,
  run: async (call) =>
    await call.withApp('existing', async (app): Promise<ExitCode> => {
      const report = await app.status()
      if (call.output.format === 'json') printEvents(call, report)
      else printReport(call, report)
      return 0
    }),
}

function printEvents({ output }: CommandCall, report: StatusReport): void {
  for (const gateway of report.gateways) output.event('gateway', { ...gateway })
  for (const { tables, ...pipeline } of report.pipelines) {
    output.event('pipeline', pipeline)
    for (const table of tables) output.event('table', { pipeline: pipeline.name, ...table })
  }
}

function printReport(call: CommandCall, report: StatusReport): void {
  const { output } = call
  for (const gateway of report.gateways) {
    output.line(
      `${output.style('bold', `gateway ${printable(gateway.name)}`)}  ${gatewayText(call, gateway)}`,
    )
    if (gateway.problem !== undefined) printProblem(output, gateway.problem)
    for (const left of gateway.leftSlots ?? []) printProblem(output, left, undefined, 'note')
    if (isAbandoned(call, gateway)) {
      output.line(
        `  its source keeps its log for it; to take it away: ${call.program} remove ${printable(gateway.name)} --yes`,
      )
    }
  }
  for (const pipeline of report.pipelines) printPipeline(call, pipeline)
  if (report.pipelines.length === 0) output.line('no pipeline is deployed here')
}

const abandonedMs = 86_400_000

/** Stopped, and for so long that it may have been forgotten. */
function isAbandoned({ clock }: CommandCall, { isRunning, atMs }: StatusGateway): boolean {
  return !isRunning && atMs !== undefined && clock.nowMs() - atMs > abandonedMs
}

function gatewayText({ clock }: CommandCall, gateway: StatusGateway): string {
  const { retainedBytes, budgetBytes, secondsToLoss, lagBytes, roundTripMs, atMs } = gateway
  const retained = retainedBytes === undefined ? '' : `source keeps ${formatBytes(retainedBytes)}`
  // What may still be written, so not a part of what is kept.
  const budget =
    budgetBytes === undefined
      ? ''
      : `, ${budgetBytes > 0n ? formatBytes(budgetBytes) : 'none'} left`
  const runway =
    secondsToLoss === undefined
      ? budgetBytes === undefined && retainedBytes !== undefined
        ? ', no limit'
        : ''
      : `, lasts ${formatSeconds(secondsToLoss)} more`
  return [
    gateway.isRunning ? 'running' : 'stopped',
    gateway.stagedCommit === undefined ? 'nothing staged' : `staged commit ${gateway.stagedCommit}`,
    ...(lagBytes === undefined ? [] : [`lag ${formatBytes(lagBytes)}`]),
    ...(roundTripMs === undefined ? [] : [`heartbeat ${formatSeconds(roundTripMs / 1000)}`]),
    ...(retained === '' ? [] : [`${retained}${budget}${runway}`]),
    ...(atMs === undefined ? [] : [`seen ${formatSeconds((clock.nowMs() - atMs) / 1000)} ago`]),
  ].join(', ')
}

function printPipeline(call: CommandCall, pipeline: StatusPipeline): void {
  const { output } = call
  const { freshness } = pipeline
  const parts = [
    pipeline.isRunning ? 'running' : 'stopped',
    `from gateway ${printable(pipeline.gateway)}`,
    ...(freshness === undefined
      ? []
      : [
          `freshness p50 ${formatSeconds(freshness.p50Seconds)} p99 ${formatSeconds(freshness.p99Seconds)}`,
        ]),
  ]
  output.line()
  output.line(
    `${output.style('bold', `pipeline ${printable(pipeline.name)}`)}  ${parts.join(', ')}`,
  )
  const columns = ['table', 'state', 'rows', 'version', 'applied', 'behind', 'last change'].map(
    (name, index) => ({ name, type: index >= 2 && index <= 5 ? 'BIGINT' : 'VARCHAR' }),
  )
  const rows = pipeline.tables.map((table) => tableRow(call, table))
  const lines = printTable({ columns, rows }, { columns: output.columns, hasFooter: false })
  for (const line of lines) output.line(line)
  for (const { destination, problem, heldBack, state } of pipeline.tables) {
    const severity = state === 'gone' || state === 'left' ? 'note' : 'error'
    if (problem !== undefined) printProblem(output, problem, destination, severity)
    if (heldBack !== undefined) printHeldBack(call, destination, heldBack)
  }
}

/** They are missing in the table, and nothing else says so. */
function printHeldBack({ output, program }: CommandCall, name: string, held: HeldBack): void {
  const table = printable(held.table)
  const went = `${countOf(Number(held.rows), 'row')} went to ${table} since the load`
  output.line(
    `${output.style('bold', `${printable(name)} holds rows back`)}: ${went}; each is missing here until a version of it fits that brings all its cells`,
  )
  output.line(`  to see them: ${program} query "SELECT * FROM ${table}"`)
  output.line(
    `  to have them here: correct them in the source, and where that update kept a large value (unchanged TOAST) run: ${program} refresh ${printable(name)} --full`,
  )
  output.line(
    '  or set sluice.unfitValues of the pipeline, for all its tables, to null, clamp or string and run it',
  )
}

const stateWords: Record<StatusTable['state'], string> = {
  pending: 'waiting',
  snapshotting: 'copying',
  'catching-up': 'catching up',
  streaming: 'streaming',
  stopped: 'stopped',
  failed: 'failed',
  gone: 'gone',
  left: 'left',
}

function stateText({ state, copiedShare }: StatusTable): string {
  if (state !== 'snapshotting' || copiedShare === undefined) return stateWords[state]
  return `${stateWords[state]} ${Math.floor(copiedShare * 100)} %`
}

function tableRow({ clock }: CommandCall, table: StatusTable): readonly unknown[] {
  const { appliedCommit, stagedCommit, appliedCommitAtMs } = table
  const behind =
    appliedCommit === undefined || stagedCommit === undefined || table.state === 'left'
      ? ''
      : `${Math.max(0, stagedCommit - appliedCommit)}`
  const ago =
    appliedCommitAtMs === undefined
      ? ''
      : `${formatSeconds((clock.nowMs() - appliedCommitAtMs) / 1000)} ago`
  return [
    table.destination,
    stateText(table),
    table.rows ?? '',
    table.version ?? '',
    appliedCommit ?? '',
    behind,
    ago,
  ]
}

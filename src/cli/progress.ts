/** The progress display: lines that fit the terminal, for few tables and for hundreds. */
import { remedyLines } from './error-print.ts'
import type { ProgressView, TableEvent, TableStage, TableView } from './progress-tracker.ts'
import type { Style } from './output.ts'
import {
  cut,
  displayWidth,
  formatBytes,
  formatCount,
  formatSeconds,
  padLeft,
  padRight,
  printable,
} from './text.ts'

export interface ProgressStyle {
  readonly columns: number
  /** Rows of the terminal: the block stays below it, or redrawing in place would fail. */
  readonly rows: number
  readonly hasUnicode: boolean
  readonly style: (style: Style, text: string) => string
}

/** Below this the runway of the source's log is worth a warning. */
const runwayWarningSeconds = 24 * 3600

const stageWords: Record<TableStage, string> = {
  pending: 'waiting',
  snapshotting: 'copying',
  'catching-up': 'copied, catching up',
  applying: 'copied, being loaded',
  loaded: 'loaded',
  failed: 'failed',
}

/** Which tables are shown when not all can be: what needs a person first, then what moves. */
const stageOrder: readonly TableStage[] = [
  'failed',
  'snapshotting',
  'catching-up',
  'applying',
  'pending',
  'loaded',
]

export function renderProgress(view: ProgressView, style: ProgressStyle): readonly string[] {
  // One column is left free: some terminals wrap when the last one is written.
  const width = Math.max(20, style.columns - 1)
  const room = Math.max(1, Math.min(style.rows - 5, 30))
  const ordered = view.tables
    .map((table, index) => ({ table, index }))
    .toSorted(
      (a, b) =>
        stageOrder.indexOf(a.table.stage) - stageOrder.indexOf(b.table.stage) || a.index - b.index,
    )
    .map(({ table }) => table)
  const isWhole = ordered.length <= room
  // In a short list every table keeps its place; in a long one the moving ones come up.
  const shown = isWhole ? view.tables : ordered.slice(0, room)
  const hidden = isWhole ? [] : ordered.slice(room)
  const longest = Math.max(0, ...shown.map(({ name }) => displayWidth(printable(name))))
  const nameWidth = Math.min(longest, Math.max(10, Math.floor(width * 0.35)))
  return [
    headline(view, width, style),
    ...shown.map((table) => tableLine(table, { width, nameWidth, style })),
    ...(hidden.length === 0 ? [] : [cut(`  and ${summary(hidden)}`, width)]),
    streamLine(view, width),
    ...runwayLine(view, width, style),
  ]
}

function headline(view: ProgressView, width: number, style: ProgressStyle): string {
  const loaded = view.tables.filter(({ stage }) => stage === 'loaded').length
  const rows = view.tables.reduce((total, table) => total + table.rows, 0)
  const separator = style.hasUnicode ? ' · ' : ' - '
  const text = [
    view.phase,
    `${loaded} of ${view.tables.length} tables loaded`,
    `${formatCount(rows)} rows copied`,
    ...shareParts(view),
    formatSeconds(view.elapsedSeconds),
  ].join(separator)
  return style.style('bold', cut(text, width, style.hasUnicode ? '…' : '~'))
}

/** Of all copies together, while there are some. */
function shareParts({ share, etaSeconds }: ProgressView): readonly string[] {
  if (share === undefined || share >= 1) return []
  const percent = `${Math.floor(share * 100)} %`
  return etaSeconds === undefined ? [percent] : [percent, `${formatSeconds(etaSeconds)} left`]
}

interface LineOptions {
  readonly width: number
  readonly nameWidth: number
  readonly style: ProgressStyle
}

function tableLine(table: TableView, { width, nameWidth, style }: LineOptions): string {
  const mark = style.hasUnicode ? '…' : '~'
  const name = padRight(cut(printable(table.name), nameWidth, mark), nameWidth)
  const rest = width - nameWidth - 4
  const symbol = symbolOf(table.stage, style)
  if (table.stage === 'snapshotting') {
    return `${symbol} ${name}  ${copyText(table, rest, style)}`
  }
  const text =
    table.problem === undefined
      ? `${stageWords[table.stage]}${table.rows > 0 ? `, ${formatCount(table.rows)} rows` : ''}`
      : `${table.problem.code}: ${printable(table.problem.message)}`
  const fitted = cut(text, rest, mark)
  return `${symbol} ${name}  ${table.problem === undefined ? fitted : style.style('red', fitted)}`
}

function symbolOf(stage: TableStage, { hasUnicode, style }: ProgressStyle): string {
  if (stage === 'loaded') return style('green', hasUnicode ? '✓' : '+')
  if (stage === 'failed') return style('red', hasUnicode ? '✗' : '!')
  return ' '
}

/** Bar, percent, rows, rate and time left; the least important give way when there is no room. */
function copyText(table: TableView, width: number, style: ProgressStyle): string {
  const { share, rows, rowsPerSecond, etaSeconds } = table
  const percent = share === undefined ? '' : padLeft(`${Math.floor(share * 100)} %`, 4)
  const count = `${formatCount(rows)} rows`
  const rate = rowsPerSecond === undefined ? '' : `${formatCount(rowsPerSecond)}/s`
  const eta = etaSeconds === undefined ? '' : `${formatSeconds(etaSeconds)} left`
  const barWidth = share === undefined ? 0 : 16
  const candidates = [
    [percent, count, rate, eta],
    [percent, count, rate],
    [percent, count],
    [percent === '' ? count : percent],
  ].map((parts) => parts.filter((part) => part !== '').join('  '))
  for (const text of candidates) {
    const left = width - displayWidth(text) - 1
    if (share !== undefined && left >= 8) {
      return `${bar(share, Math.min(barWidth, left), style)} ${text}`
    }
    if (share === undefined && left >= 0) return text
  }
  return cut(candidates.at(-1) ?? '', width)
}

function bar(share: number, width: number, { hasUnicode, style }: ProgressStyle): string {
  const filled = Math.round(share * width)
  const [full, empty] = hasUnicode ? ['█', '░'] : ['#', '.']
  return style('green', full.repeat(filled)) + style('dim', empty.repeat(width - filled))
}

/** `57 loaded, 120 waiting`. */
export function summary(tables: readonly TableView[]): string {
  return stageOrder
    .map((stage) => ({ stage, count: tables.filter((table) => table.stage === stage).length }))
    .filter(({ count }) => count > 0)
    .map(({ stage, count }) => `${formatCount(count)} ${stageWords[stage]}`)
    .join('; ')
}

function streamParts(view: ProgressView): readonly string[] {
  const { changesPerSecond, lagBytes, freshness } = view
  return [
    `${formatCount(view.transactions)} transactions`,
    changesPerSecond === undefined
      ? `${formatCount(view.changes)} changes`
      : `${formatCount(changesPerSecond)} changes/s`,
    ...(lagBytes === undefined ? [] : [`lag ${formatBytes(lagBytes)}`]),
    ...(freshness === undefined
      ? []
      : [
          `freshness p50 ${formatSeconds(freshness.p50Seconds)} p99 ${formatSeconds(freshness.p99Seconds)}`,
        ]),
  ]
}

/** The transactions give way when there is no room for all. */
function streamLine(view: ProgressView, width: number): string {
  const parts = streamParts(view)
  const whole = `stream  ${parts.join('  ')}`
  return displayWidth(whole) <= width ? whole : cut(`stream  ${parts.slice(1).join('  ')}`, width)
}

/** Only when the source may soon throw log away that was not read. */
function runwayLine(view: ProgressView, width: number, style: ProgressStyle): readonly string[] {
  if (view.secondsToLoss === undefined || view.secondsToLoss > runwayWarningSeconds) return []
  const text = `the source's log lasts ${formatSeconds(view.secondsToLoss)} more at this rate`
  return [style.style('yellow', cut(text, width))]
}

/** One line for a log file or a pipe: the state of everything. */
export function plainProgress(view: ProgressView): string {
  const tables = view.tables.length === 0 ? 'no tables yet' : summary(view.tables)
  const rows = view.tables.reduce((total, table) => total + table.rows, 0)
  const copied = `${formatCount(rows)} rows copied`
  return [view.phase, tables, copied, ...shareParts(view), ...streamParts(view)].join(' | ')
}

/** One line for what happened to a table. */
export function plainEvent(event: TableEvent): string {
  const name = printable(event.table)
  if (event.problem !== undefined) {
    const { code, message, remedy } = event.problem
    return [`${name}: ${code}: ${printable(message)}`, ...remedyLines(remedy)].join('\n')
  }
  if (event.anew !== undefined && (event.stage === 'pending' || event.stage === 'snapshotting')) {
    const words = event.stage === 'pending' ? 'waits to be copied anew' : 'is copied anew'
    return `${name}: ${words}: ${printable(event.anew)}`
  }
  const rows = event.rows > 0 ? ` (${formatCount(event.rows)} rows)` : ''
  return `${name}: ${stageWords[event.stage]}${rows}`
}

import { expect, test } from 'vitest'
import type { TableStatus, TableSyncState } from '../gateway/gateway-status.ts'
import type { PipelineTableStatus } from '../pipeline/pipeline-status.ts'
import type { RunProgress } from './app.ts'
import { FakeTerminal } from './fake-app.fixture.ts'
import { Output } from './output.ts'
import { plainEvent, plainProgress, renderProgress, type ProgressStyle } from './progress.ts'
import { ProgressTracker, type ProgressView } from './progress-tracker.ts'
import { RateMeter } from './rate-meter.ts'
import { displayWidth } from './text.ts'
import { watchProgress } from './watch.ts'

function table(name: string, state: TableSyncState, rows = 0, estimatedRows?: number): TableStatus {
  return {
    tableId: name,
    name: { catalog: 'db', schema: 'public', table: name },
    state,
    snapshotRows: rows,
    estimatedRows,
    snapshotBytes: 0,
    changes: 0,
  }
}

function applied(name: string, appliedCommit?: number): PipelineTableStatus {
  return {
    tableId: name,
    destination: `main.shop.${name}`,
    appliedCommit,
    version: undefined,
    rowsLoaded: 0,
    inserts: 0,
    updates: 0,
    deletes: 0,
  }
}

function progress(
  tables: readonly TableStatus[],
  destinations: readonly PipelineTableStatus[] = [],
  change: Partial<RunProgress['gateways'][0]['status']> = {},
): RunProgress {
  return {
    phase: 'copying',
    gateways: [
      {
        name: 'gw',
        status: {
          tables,
          transactions: 12,
          changes: 3400,
          stagedBytes: 0,
          stagedCommit: 1,
          newestCommitAtMs: undefined,
          lagBytes: 5n * 2n ** 20n,
          retainedBytes: undefined,
          budgetBytes: undefined,
          secondsToLoss: undefined,
          ...change,
        },
      },
    ],
    pipelines: [
      {
        name: 'p',
        status: {
          tables: destinations,
          freshness: { count: 1, p50Seconds: 0.84, p99Seconds: 2.1 },
          updates: 1,
        },
      },
    ],
  }
}

const style: ProgressStyle = { columns: 80, rows: 24, hasUnicode: true, style: (_, text) => text }

function render(source: RunProgress, change: Partial<ProgressStyle> = {}): readonly string[] {
  const tracker = new ProgressTracker(0)
  return renderProgress(tracker.observe(source, 12_000).view, { ...style, ...change })
}

test('80 columns: bars, rates, time left, the stream, in one look', () => {
  const tracker = new ProgressTracker(0)
  const at = (rows: number, ms: number): readonly string[] => {
    const tables = [
      table('orders', 'snapshotting', rows, 1_000_000),
      table('items', 'streaming', 7),
    ]
    const { view } = tracker.observe(progress(tables, [applied('items', 1)]), ms)
    return renderProgress(view, style)
  }
  at(0, 0)
  expect(at(250_000, 5000)).toEqual([
    'copying · 1 of 2 tables loaded · 250,007 rows copied · 5.0 s',
    '  public.orders  ████░░░░░░░░░░░░ 25 %  250,000 rows  50,000/s  15 s left',
    '✓ public.items   loaded, 7 rows',
    // "12 transactions" as well would be wider than the terminal.
    'stream  0 changes/s  lag 5.0 MiB  freshness p50 0.8 s p99 2.1 s',
  ])
})

test('percent and time left go by bytes of the source, and begin where a resumed copy was', () => {
  const tracker = new ProgressTracker(0)
  const at = (doneBytes: number, ms: number): ProgressView => {
    const copying: TableStatus = {
      ...table('orders', 'snapshotting', 5, 3),
      copied: { doneBytes, totalBytes: 1000 },
    }
    const waiting = { ...table('items', 'pending'), estimatedBytes: 1000 }
    return tracker.observe(progress([copying, waiting]), ms).view
  }
  const first = at(600, 0)
  expect([first.tables[0]?.share, first.tables[0]?.etaSeconds]).toEqual([0.6, undefined])
  const later = at(700, 10_000)
  expect([later.tables[0]?.share, later.tables[0]?.etaSeconds]).toEqual([
    0.7,
    expect.closeTo(30, 5),
  ])
  expect([later.share, later.etaSeconds]).toEqual([0.35, expect.closeTo(130, 5)])
  // More rows than were expected, and more to read than there was: never all of it.
  expect(at(1000, 20_000).tables[0]?.share).toBe(0.99)
})

test.each([20, 40, 60, 80, 132, 200])(
  'no line is wider than %i columns, whatever the names',
  (columns) => {
    const long = `${'very_long_table_name_'.repeat(12)}注文注文`
    const tables = [
      table(long, 'snapshotting', 123_456_789, 999_999_999),
      table(`${long}2`, 'snapshotting', 5),
      { ...table(`${long}3`, 'failed'), problem: { code: 'X', message: long, remedy: 'y' } },
      table('a\u001b[2Jb', 'catching-up', 10),
    ]
    for (const hasUnicode of [true, false]) {
      const lines = render(progress(tables, [], { secondsToLoss: 10 }), { columns, hasUnicode })
      for (const line of lines) expect(displayWidth(line)).toBeLessThan(columns + 1)
      expect(lines.join()).not.toContain('\u001b')
    }
  },
)

test('two hundred tables are summarised: failed and moving ones first', () => {
  const names = Array.from({ length: 200 }, (_, index) => `t${index}`)
  const tables = names.map((name, index) =>
    table(
      name,
      index < 100
        ? 'streaming'
        : index === 150
          ? 'failed'
          : index > 190
            ? 'snapshotting'
            : 'pending',
      1,
      9,
    ),
  )
  const loaded = names.slice(0, 100).map((name) => applied(name, 1))
  const lines = render(progress(tables, loaded))
  expect(lines.length).toBeLessThan(24)
  expect(lines[0]).toContain('100 of 200 tables loaded')
  expect(lines[1]).toContain('public.t150')
  expect(lines[2]).toContain('public.t191')
  expect(lines.at(-2)).toBe('  and 81 waiting; 100 loaded')
})

test('a copy of unknown size shows rows without a bar; an old estimate never shows 100 %', () => {
  const lines = render(
    progress([table('a', 'snapshotting', 10), table('b', 'snapshotting', 500, 100)]),
  )
  expect(lines[1]).toBe('  public.a  10 rows')
  expect(lines[2]).toContain(' 99 %')
})

test('the runway of the source is shown only when it is short', () => {
  expect(render(progress([], [], { secondsToLoss: 90_000 })).join()).not.toContain('lasts')
  expect(render(progress([], [], { secondsToLoss: 3600 })).at(-1)).toBe(
    "the source's log lasts 1 h 0 min more at this rate",
  )
})

test('the tracker tells each change of a table once', () => {
  const tracker = new ProgressTracker(0)
  const observe = (state: TableSyncState, commit?: number): string[] =>
    tracker
      .observe(progress([table('t', state, 5)], [applied('t', commit)]), 0)
      .events.map(({ stage }) => stage)
  expect(observe('pending')).toEqual([])
  expect(observe('snapshotting')).toEqual(['snapshotting'])
  expect(observe('snapshotting')).toEqual([])
  expect(observe('catching-up')).toEqual(['catching-up'])
  expect(observe('streaming')).toEqual(['applying'])
  expect(observe('streaming', 3)).toEqual(['loaded'])
  expect(observe('failed', 3)).toEqual(['failed'])
})

test('a copy that is made anew by itself is told with its reason, and is no problem', () => {
  const tracker = new ProgressTracker(0)
  const gap = { code: 'PIPELINE_TABLE_GAP', message: 'm', remedy: 'r' }
  const waiting = { ...applied('t', 3), problem: gap }
  const anew = { anew: 'columns were dropped and others added' }
  const tell = (...tables: readonly [TableStatus, PipelineTableStatus]): readonly string[] =>
    tracker.observe(progress([tables[0]], [tables[1]]), 0).events.map(plainEvent)
  expect(tell(table('t', 'streaming'), applied('t', 3))).toEqual(['public.t: loaded'])
  expect(tell({ ...table('t', 'pending'), ...anew }, waiting)).toEqual([
    `public.t: waits to be copied anew: ${anew.anew}`,
  ])
  expect(tell({ ...table('t', 'snapshotting'), ...anew }, waiting)).toEqual([
    `public.t: is copied anew: ${anew.anew}`,
  ])
  expect(tell(table('t', 'streaming', 7), waiting)).toEqual([
    'public.t: copied, being loaded (7 rows)',
  ])
  expect(tell(table('t', 'streaming', 7), applied('t', 4))).toEqual(['public.t: loaded (7 rows)'])
})

test('plain lines for what is no terminal', () => {
  const { view } = new ProgressTracker(0).observe(progress([table('t', 'snapshotting', 5)]), 0)
  expect(plainProgress(view)).toBe(
    'copying | 1 copying | 5 rows copied | 12 transactions | 3,400 changes | lag 5.0 MiB | freshness p50 0.8 s p99 2.1 s',
  )
  const problem = { code: 'C', message: 'm', remedy: 'r' }
  expect(plainEvent({ table: 'public.t', stage: 'failed', rows: 0, problem })).toBe(
    'public.t: C: m\n  what to do: r',
  )
  const two = { ...problem, remedy: 'r;\ns;' }
  expect(plainEvent({ table: 'public.t', stage: 'failed', rows: 0, problem: two })).toBe(
    'public.t: C: m\n  what to do: r;\n              s;',
  )
})

test('RateMeter follows the last seconds, and begins anew when the counter falls', () => {
  const meter = new RateMeter()
  expect(meter.perSecond()).toBeUndefined()
  for (let second = 0; second <= 60; second++)
    meter.add(second * 1000, second < 30 ? 0 : second * 100)
  expect(meter.perSecond()).toBeCloseTo(100)
  meter.add(61_000, 5)
  expect(meter.perSecond()).toBeUndefined()
})

test('what a process had counted before it was first seen is no rate', () => {
  const tracker = new ProgressTracker(0)
  const rates = [
    { ...progress([]), gateways: [], pipelines: [] },
    progress([], [], { changes: 176_500 }),
    progress([], [], { changes: 177_300 }),
  ].map((seen, index) => tracker.observe(seen, index * 1000).view.changesPerSecond)
  expect(rates).toEqual([undefined, undefined, 800])
})

function outputOn(stderr: FakeTerminal, env: Record<string, string> = {}): Output {
  return new Output({ stdout: new FakeTerminal(), stderr, format: 'human', env })
}

test('the display is redrawn in place; notes stand above it; the last state stays', async () => {
  const terminal = new FakeTerminal({ columns: 80, rows: 24 })
  const output = outputOn(terminal)
  let looks = 0
  const running = {
    progress: () => {
      if (looks === 1) output.note('a note')
      return progress(
        [table('t', looks++ === 0 ? 'snapshotting' : 'streaming', 5)],
        [applied('t', 1)],
      )
    },
  }
  await watchProgress(running, Promise.resolve(), { output, clock: { nowMs: () => 0 } })
  output.note('afterwards')
  expect(terminal.screen).toEqual([
    'a note',
    'copying - 1 of 1 tables loaded - 5 rows copied - 0.0 s',
    '+ public.t  loaded, 5 rows',
    'stream  3,400 changes  lag 5.0 MiB  freshness p50 0.8 s p99 2.1 s',
    'afterwards',
    '',
  ])
})

test('nothing is redrawn and nothing coloured where it should not', () => {
  const size = { columns: 80, rows: 24 }
  const tty = (env: Record<string, string>): Output =>
    new Output({
      stdout: new FakeTerminal(size),
      stderr: new FakeTerminal(size),
      format: 'human',
      env,
    })
  expect([tty({}).isLive, tty({}).hasColour, tty({ LANG: 'C.UTF-8' }).hasUnicode]).toEqual([
    true,
    true,
    true,
  ])
  expect(tty({ NO_COLOR: '1' }).style('red', 'x')).toBe('x')
  expect(tty({ NO_COLOR: '' }).style('red', 'x')).toBe('\u001b[31mx\u001b[39m')
  expect([tty({ TERM: 'dumb' }).isLive, tty({ TERM: 'dumb' }).hasColour]).toEqual([false, false])
  expect(outputOn(new FakeTerminal()).isLive).toBe(false)
})

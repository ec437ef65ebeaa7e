import { expect, test } from 'vitest'
import type { App, QuickstartResult, StatusReport } from './app.ts'
import { brokenTable, run } from './fake-app.fixture.ts'

const table = {
  destination: 'main.shop.orders',
  source: 'public.orders',
  state: 'streaming',
  rows: 1_234_567n,
  version: 12n,
  appliedCommit: 40,
  stagedCommit: 42,
  appliedCommitAtMs: 1_000_000 - 1500,
  problem: undefined,
} as const

const report: StatusReport = {
  dataFolder: '.sluice',
  gateways: [
    {
      name: 'gw',
      isRunning: true,
      stagedCommit: 42,
      lagBytes: 2048n,
      retainedBytes: 3n * 1024n ** 3n,
      budgetBytes: 10n * 1024n ** 3n,
      secondsToLoss: 7200,
      atMs: 999_000,
      problem: undefined,
    },
  ],
  pipelines: [
    {
      name: 'p',
      gateway: 'gw',
      isRunning: false,
      freshness: { count: 3, p50Seconds: 0.5, p99Seconds: 1.25 },
      tables: [
        table,
        {
          ...table,
          destination: 'main.shop.broken',
          state: 'failed',
          rows: undefined,
          version: undefined,
          appliedCommit: undefined,
          appliedCommitAtMs: undefined,
          problem: brokenTable.problem,
        },
      ],
    },
  ],
}

test('status shows gateways with the runway of the log, and every table', async () => {
  const { code, stdout, stderr } = await run(['status'], { status: async () => report })
  expect(code).toBe(0)
  expect(stdout).toContain(
    'gateway gw  running, staged commit 42, lag 2.0 KiB, source keeps 3.0 GiB, 10.0 GiB left, lasts 2 h 0 min more, seen 1.0 s ago',
  )
  expect(stdout).toContain('pipeline p  stopped, from gateway gw, freshness p50 0.5 s p99 1.3 s')
  expect(stdout).toMatch(/main\.shop\.orders +streaming +1234567 +12 +40 +2 +1\.5 s ago/)
  expect(stdout).toMatch(/main\.shop\.broken +failed/)
  expect(stderr).toContain('error SOURCE_NO_KEY: main.shop.broken: no key')
})

test('status shows a limit of the log that is used up', async () => {
  const [gateway] = report.gateways
  const over = { ...gateway, budgetBytes: -1024n, secondsToLoss: 0 } as (typeof report.gateways)[0]
  const { stdout } = await run(['status'], {
    status: async () => ({ ...report, gateways: [over] }),
  })
  expect(stdout).toContain('source keeps 3.0 GiB, none left, lasts 0.0 s more')
})

test('status names slots that a gateway left at its source', async () => {
  const left = { code: 'SOURCE_SLOT_LEFT_BEHIND', message: 'Slot "s" is left', remedy: 'SELECT 1' }
  const gateways = report.gateways.map((gateway) => ({ ...gateway, leftSlots: [left] }))
  const { stderr } = await run(['status'], { status: async () => ({ ...report, gateways }) })
  expect(stderr).toContain('note SOURCE_SLOT_LEFT_BEHIND: Slot "s" is left')
  expect(stderr).toContain('what to do: SELECT 1')
})

test('status as JSON has a line per gateway, pipeline and table', async () => {
  const { stdout } = await run(['status', '--output', 'json'], { status: async () => report })
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string })
  expect(lines.map(({ event }) => event)).toEqual(['gateway', 'pipeline', 'table', 'table'])
  expect(lines[2]).toMatchObject({ pipeline: 'p', rows: 1234567, state: 'streaming' })
})

test('status says which rows are missing because they do not fit, and what to do', async () => {
  const heldBack = { table: 'main.shop.orders__quarantine', rows: 3n }
  const pipelines = [{ ...report.pipelines[0], tables: [{ ...table, heldBack }] }]
  const held = { status: async () => ({ ...report, pipelines }) as StatusReport }
  const { code, stdout } = await run(['status'], held)
  expect(code).toBe(0)
  expect(stdout).toContain('main.shop.orders holds rows back: 3 rows went to main.shop.orders__q')
  expect(stdout).toContain('query "SELECT * FROM main.shop.orders__quarantine"')
  expect(stdout).toContain('sluice.unfitValues')
  const json = await run(['status', '--output', 'json'], held)
  expect(JSON.parse(json.stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
    heldBack: { table: 'main.shop.orders__quarantine', rows: 3 },
  })
})

test('an empty catalog says so', async () => {
  const empty = { dataFolder: '.', gateways: [], pipelines: [] }
  expect((await run(['status'], { status: async () => empty })).stdout).toBe(
    'no pipeline is deployed here\n',
  )
})

function quickstarting(change: Partial<QuickstartResult>): Partial<App> {
  return {
    quickstart: async ({ onStep, onTable, seconds }) => {
      onStep('Starting')
      const verified = {
        destination: 'main.shop.orders',
        source: 'public.orders',
        isEqual: true,
        sourceRows: 5n,
        destinationRows: 5n,
        missing: 0n,
        extra: 0n,
        different: 0n,
        differences: [],
        version: 1n,
        position: undefined,
      }
      onTable(verified)
      return {
        wasStopped: false,
        tableCount: 9,
        rowsLoaded: 1_200_000,
        loadSeconds: 4,
        changes: seconds,
        transactions: 1,
        freshness: { p50Seconds: 0.4, p99Seconds: 1 },
        verified: { tables: [verified] },
        resourceFile: '/far/away/shop.yml',
        dataFolder: '/far/my folder',
        lakeFolder: '/far/lake',
        queries: ['SELECT count(*) FROM shop.orders', `SELECT 'x'`, 'SELECT "$"'],
        ...change,
      }
    },
  }
}

test('quickstart sums up, with commands that can be pasted', async () => {
  const { code, stdout, opened } = await run(['quickstart', '--seconds', '7'], quickstarting({}))
  expect(code).toBe(0)
  expect(opened[0]?.catalog).toBe('none')
  expect(stdout).toContain('loaded    1,200,000 rows of 9 tables in 4.0 s (300,000 rows/s)')
  expect(stdout).toContain('streamed  7 changes in 1 transaction\n')
  expect(stdout).toContain('verified  1 of 1 table equal')
  expect(stdout).toContain(
    `  sluice query "SELECT count(*) FROM shop.orders" --data "/far/my folder"\n`,
  )
  expect(stdout).toContain(`query "SELECT 'x'" --data`)
  expect(stdout).toContain(`query 'SELECT "$"' --data`)
  expect(stdout).toContain(`  sluice status --data "/far/my folder"\nIts server has ended`)
})

test('a stopped or unequal quickstart is not a success', async () => {
  expect((await run(['quickstart'], quickstarting({ wasStopped: true }))).code).toBe(1)
  expect((await run(['quickstart'], quickstarting({ verified: undefined }))).code).toBe(1)
})

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { SluiceError } from '../base/errors.ts'
import { parseResourceFile } from '../catalog/resource-file.ts'
import type { App, OpenApp, QuickstartOptions, RunProgress, RunResult } from '../cli/app.ts'
import { silentLog } from '../observe/log.ts'
import { type EmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts'
import { type QuickstartParts, runQuickstart } from './quickstart.ts'
import { shopTables } from './shop-schema.ts'

let folder = ''
let servers: EmbeddedPostgres[] = []
let calls: string[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-quickstart-'))
  servers = []
  calls = []
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const clean: RunResult = {
  failedTables: [],
  rowsLoaded: 7,
  changesApplied: 1,
  stagedCommit: 3,
  tableCount: shopTables.length,
}

/** Tables are loaded the third time somebody looks. */
function progressAfter(
  looks: number,
  problem?: RunProgress['pipelines'][0]['status']['tables'][0]['problem'],
): RunProgress {
  const tables = shopTables.map((table) => ({
    tableId: table,
    destination: `main.shop.${table}`,
    appliedCommit: looks > 2 ? 1 : undefined,
    version: undefined,
    rowsLoaded: 0,
    inserts: 0,
    updates: 0,
    deletes: 0,
    ...(problem === undefined ? {} : { problem }),
  }))
  const freshness = { count: 1, p50Seconds: 0.5, p99Seconds: 1 }
  return {
    phase: 'streaming',
    gateways: [],
    pipelines: [{ name: 'p', status: { tables, freshness, updates: 1 } }],
  }
}

function fakeApp(problem?: Parameters<typeof progressAfter>[1]): App {
  const unused = (): never => {
    throw new Error('not used here')
  }
  return {
    deploy: async (resources) => {
      calls.push(`deploy ${resources.pipelines.length}`)
      return []
    },
    start: (_, { mode, signal }) => {
      calls.push(`start ${mode}`)
      let looks = 0
      const ended = new Promise<RunResult>((resolve) => {
        signal.addEventListener('abort', () => resolve(clean), { once: true })
        if (mode === 'once') resolve(clean)
      })
      return { progress: () => progressAfter(++looks, problem), done: ended }
    },
    verify: async () => {
      calls.push('verify')
      return { tables: [] }
    },
    close: async () => void calls.push('close'),
    check: unused,
    status: unused,
    remove: unused,
    query: unused,
    refresh: unused,
    quickstart: unused,
  }
}

function parts(openApp: OpenApp): QuickstartParts {
  return {
    openApp,
    parseResourceFile,
    dataFolder: folder,
    env: {},
    log: silentLog,
    startServer: async (options) => {
      const server = await startEmbeddedPostgres(options)
      servers.push(server)
      return server
    },
  }
}

function options(change: Partial<QuickstartOptions> = {}): QuickstartOptions {
  return {
    seconds: 0.3,
    rows: 2000,
    changesPerSecond: 200,
    signal: new AbortController().signal,
    onStep: (message) => calls.push(message.split(' ', 1)[0] ?? ''),
    onRunning: () => undefined,
    onTable: () => undefined,
    ...change,
  }
}

async function isServerGone(): Promise<boolean> {
  const [server] = servers
  if (server === undefined) return false
  const isRefused = await server.connect().then(
    () => false,
    () => true,
  )
  return isRefused && !existsSync(server.folder)
}

test('the quick start loads, streams, drains, verifies, and stops its server', async () => {
  let password = ''
  const result = await runQuickstart(
    options(),
    parts(async ({ env }) => {
      password = env['SHOP_PASSWORD'] ?? ''
      return fakeApp()
    }),
  )
  expect(calls).toEqual([
    'Starting',
    'Filling',
    'deploy 1',
    'Copying',
    'start continuous',
    'Everything',
    'The',
    'start once',
    'Comparing',
    'verify',
    'close',
  ])
  expect(result).toMatchObject({ wasStopped: false, tableCount: 9, freshness: { p50Seconds: 0.5 } })
  expect(result.changes).toBeGreaterThan(0)
  expect(result.queries).toHaveLength(3)
  expect(password).toBe(servers[0]?.password)
  expect(readFileSync(result.resourceFile, 'utf8')).not.toContain(password)
  expect(await isServerGone()).toBe(true)
})

test.each(['Starting', 'Filling', 'Copying', 'Everything', 'The', 'Comparing'])(
  'a stop at "%s" ends everything in order',
  async (step) => {
    const controller = new AbortController()
    const onStep = (message: string): void => {
      if (message.startsWith(step)) controller.abort()
    }
    const result = await runQuickstart(
      options({ onStep, signal: controller.signal, seconds: 60 * Number(step === 'Everything') }),
      parts(async () => fakeApp()),
    )
    expect(result.wasStopped).toBe(true)
    expect(await isServerGone()).toBe(true)
  },
)

test('a table that cannot be loaded fails the quick start, which then has stopped everything', async () => {
  const problem = { code: 'X_Y', message: 'broken', remedy: 'mend it' }
  const work = runQuickstart(
    options(),
    parts(async () => fakeApp(problem)),
  )
  await expect(work).rejects.toMatchObject({ code: 'QUICKSTART_FAILED', remedy: 'mend it' })
  expect(calls.at(-1)).toBe('close')
  expect(await isServerGone()).toBe(true)
})

test('an app that cannot open leaves no server behind', async () => {
  const work = runQuickstart(
    options(),
    parts(async () => {
      throw new SluiceError('CATALOG_BUSY', 'x')
    }),
  )
  await expect(work).rejects.toMatchObject({ code: 'CATALOG_BUSY' })
  expect(await isServerGone()).toBe(true)
})

test('a second quick start removes what the first one made, and nothing else', async () => {
  const aborted = AbortSignal.abort()
  writeFileSync(join(folder, 'mine'), 'x')
  await runQuickstart(
    options({ signal: aborted }),
    parts(async () => fakeApp()),
  )
  writeFileSync(join(folder, 'quickstart', 'old'), 'x')
  await runQuickstart(
    options({ signal: aborted }),
    parts(async () => fakeApp()),
  )
  expect(existsSync(join(folder, 'quickstart', 'old'))).toBe(false)
  expect(existsSync(join(folder, 'mine'))).toBe(true)
})

test('a folder that no quick start has made is left alone', async () => {
  mkdirSync(join(folder, 'quickstart'))
  writeFileSync(join(folder, 'quickstart', 'precious'), 'x')
  const work = runQuickstart(
    options(),
    parts(async () => fakeApp()),
  )
  await expect(work).rejects.toMatchObject({ code: 'QUICKSTART_FOLDER_IN_USE' })
  expect(existsSync(join(folder, 'quickstart', 'precious'))).toBe(true)
  expect(servers).toEqual([])
})

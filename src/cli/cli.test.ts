import { expect, test } from 'vitest'
import { SluiceError } from '../base/errors.ts'
import type { App, RunResult, VerifiedTable } from './app.ts'
import { commands } from './cli.ts'
import { statusBeforeRun } from '../gateway/gateway-run.ts'
import { RecoveredLog } from '../staging/recovered-log.ts'
import {
  brokenTable,
  cleanResult,
  emptyProgress,
  jsonLines,
  resourceFile,
  run,
} from './fake-app.fixture.ts'

function starting(result: () => Promise<RunResult>): Partial<App> {
  return {
    deploy: async () => [],
    start: () => ({ progress: () => emptyProgress, done: result() }),
  }
}

const equal: VerifiedTable = {
  destination: 'main.shop.orders',
  source: 'public.orders',
  isEqual: true,
  sourceRows: 2n ** 60n,
  destinationRows: 2n ** 60n,
  missing: 0n,
  extra: 0n,
  different: 0n,
  differences: [],
  version: 3n,
  position: '0/1',
}

test('without a command the help is printed and nothing is opened', async () => {
  const { code, stdout, opened } = await run([])
  expect(code).toBe(0)
  for (const { name } of commands) expect(stdout).toContain(`  ${name}`)
  expect(opened).toEqual([])
})

test.each([['--version'], ['run', '--version'], ['--data', 'x', '--version']])(
  'the version: %j %j',
  async (...args) => {
    expect(await run(args)).toMatchObject({ code: 0, stdout: '1.2.3\n' })
  },
)

test.each(commands.map(({ name }) => name))('%s has help in three spellings', async (name) => {
  const texts = await Promise.all([run([name, '--help']), run(['help', name]), run([name, '-h'])])
  for (const { code, stdout, opened } of texts) {
    expect(code).toBe(0)
    expect(stdout).toContain(name === 'help' ? 'usage: sluice ' : `usage: sluice ${name}`)
    expect(stdout).toContain('--data DIR')
    expect(opened).toEqual([])
  }
})

test('in a checkout the help shows how to call it through npm', async () => {
  const { stdout } = await run(['help', 'query'], {}, { env: { npm_lifecycle_event: 'sluice' } })
  expect(stdout).toContain('usage: npm run -s sluice -- query "SQL"')
})

test.each([
  [['stauts'], 'Did you mean "status"?'],
  [['help', 'qerry'], 'Did you mean "query"?'],
  [['frobnicate'], 'Run `sluice help`'],
  [['run'], 'usage: sluice run FILE'],
  [['run', 'a', 'b'], 'usage: sluice run FILE'],
  [['run', 'a', '--onec'], 'Did you mean --once?'],
  [['status', '--once'], 'Run `sluice help`'],
  [['status', '--data'], '--data DIR'],
  [['status', '--data', '--output'], '--data DIR'],
  [['run', 'a', '--once=yes'], 'Run `sluice help`'],
  [['status', '--output', 'xml'], '--output human|json'],
  [['status', '--log-level', 'loud'], '--log-level debug|info|warn|error'],
  [['query'], 'usage: sluice query'],
  [['refresh', '--full'], 'Run `sluice help`'],
  [['refresh', 'a', '--all', '--full'], 'Run `sluice help`'],
  [['refresh', 'a'], 'sluice refresh a --full'],
  [['quickstart', '--seconds', 'many'], 'Run `sluice help`'],
  [['quickstart', '--rate', '0'], 'Run `sluice help`'],
  [['run', '/no/such/file'], 'readable YAML'],
])('%j is bad usage: exit code 2 and a hint', async (args, hint) => {
  const { code, stderr, stdout, opened } = await run(args)
  expect(code).toBe(2)
  expect(stderr).toContain(hint)
  expect(stdout).toBe('')
  expect(opened).toEqual([])
})

test('run deploys, starts and ends with 0', async () => {
  const modes: string[] = []
  const app: Partial<App> = {
    deploy: async () => [{ kind: 'created', resource: 'gateway', key: 'gw' }],
    start: (resources, { mode }) => {
      modes.push(`${mode} ${resources.pipelines.length}`)
      return { progress: () => emptyProgress, done: Promise.resolve(cleanResult) }
    },
  }
  const file = resourceFile()
  const once = await run(['run', file, '--once', '--data', '/d'], app)
  expect(once).toMatchObject({ code: 0, closed: 1 })
  expect(once.opened).toMatchObject([{ dataFolder: '/d', catalog: 'create' }])
  expect(once.stderr).toContain('created gateway gw')
  expect(once.stdout).toContain('3 tables up to date, 1,234 rows loaded, 5 changes applied')
  await run(['run', file], app)
  expect(modes).toEqual(['once 1', 'continuous 1'])
})

test('run ends with 1 when a table failed, and says what to do', async () => {
  const result = { ...cleanResult, failedTables: [brokenTable] }
  const { code, stderr } = await run(
    ['run', resourceFile()],
    starting(() => Promise.resolve(result)),
  )
  expect(code).toBe(1)
  expect(stderr).toContain('error SOURCE_NO_KEY: main.shop.orders: no key')
  expect(stderr).toContain('what to do: ALTER TABLE ...')
})

test('a table that failed is named once, by the name it has or by its message', async () => {
  const problem = { ...brokenTable.problem, message: `${brokenTable.table}: no key` }
  const result = { ...cleanResult, failedTables: [{ ...brokenTable, problem }] }
  const { stderr } = await run(
    ['run', resourceFile()],
    starting(() => Promise.resolve(result)),
  )
  expect(stderr).toContain('error SOURCE_NO_KEY: main.shop.orders: no key')
  expect(stderr).not.toContain('main.shop.orders: main.shop.orders')
})

test('a table that failed at the end of a run is told by its result alone', async () => {
  const counts = { snapshotRows: 0, snapshotBytes: 0, estimatedRows: undefined, changes: 0 }
  const name = { schema: 'shop', table: 'orders' }
  const { problem } = brokenTable
  const failed = { tableId: '1', name, state: 'failed' as const, ...counts, problem }
  const status = { ...statusBeforeRun({ recovered: new RecoveredLog() }), tables: [failed] }
  let isDone = false
  const work = async (): Promise<RunResult> => {
    await Promise.resolve()
    isDone = true
    return { ...cleanResult, failedTables: [brokenTable] }
  }
  const { stderr } = await run(['run', resourceFile()], {
    deploy: async () => [],
    start: () => ({
      progress: () =>
        isDone ? { ...emptyProgress, gateways: [{ name: 'g', status }] } : emptyProgress,
      done: work(),
    }),
  })
  expect(stderr.match(/no key/g)).toHaveLength(1)
})

test.each([
  ['INTERNAL_ERROR', 1],
  ['CATALOG_DAMAGED', 1],
  ['CONFIG_IMMUTABLE_FIELD', 2],
] as const)('run ends with the exit code of %s: %i', async (code, exit) => {
  const failing = starting(() => Promise.reject(new SluiceError(code, 'words')))
  const result = await run(['run', resourceFile()], failing)
  expect(result).toMatchObject({ code: exit, closed: 1 })
  expect(result.stderr).toContain(`error ${code}: words`)
})

test('a foreign error has a code too, and what it carries does not break the terminal', async () => {
  const failing = starting(() => Promise.reject(new Error('bad \u001b[2J thing')))
  const { code, stderr } = await run(['run', resourceFile()], failing)
  expect(code).toBe(1)
  expect(stderr).toContain('error INTERNAL_ERROR: bad \\u001b[2J thing')
})

test('a stop by signal: clean for continuous, undone work for --once', async () => {
  const signal = AbortSignal.abort()
  const app = starting(() => Promise.resolve(cleanResult))
  expect((await run(['run', resourceFile()], app, { signal })).code).toBe(0)
  expect((await run(['run', resourceFile(), '--once'], app, { signal })).code).toBe(1)
  const aborted = starting(() => Promise.reject(new DOMException('x', 'AbortError')))
  const result = await run(['run', resourceFile()], aborted, { signal })
  expect(result.stderr).toContain('error ABORTED')
})

test('who stops a run that goes on is told what was still to come, and not that all is there', async () => {
  const { gateways } = emptyProgress
  const status = { ...statusBeforeRun({ recovered: new RecoveredLog() }), lagBytes: 3n * 2n ** 20n }
  const behind = { ...emptyProgress, gateways: [...gateways, { name: 'gw', status }] }
  const app: Partial<App> = {
    deploy: async () => [],
    start: () => ({ progress: () => behind, done: Promise.resolve(cleanResult) }),
  }
  const stopped = await run(['run', resourceFile()], app, { signal: AbortSignal.abort() })
  expect(stopped.code).toBe(0)
  expect(stopped.stdout).not.toContain('up to date')
  expect(stopped.stdout).toContain('3 tables without a problem, 1,234 rows loaded')
  expect(stopped.stdout).toContain(`stopped; the source's log was 3.0 MiB ahead`)
  const once = await run(['run', resourceFile(), '--once'], app)
  expect(once.stdout).toContain('3 tables up to date')
  expect(once.stdout).not.toContain('ahead')
})

test('a broken resource file: every error with its place, exit code 2, nothing opened', async () => {
  const file = resourceFile((text) =>
    text.replace('host: h', 'hots: h').replace('name: shop,', 'name: shpo,'),
  )
  const { code, stderr, opened } = await run(['check', file])
  expect(code).toBe(2)
  expect(stderr).toContain(`${file}:3:51: error CONFIG_UNKNOWN_KEY: unknown key "hots"`)
  expect(stderr).toContain('what to do: Did you mean "host"?')
  expect(stderr).toContain('CONFIG_UNKNOWN_REFERENCE')
  expect(stderr).toContain('3 errors')
  expect(opened).toEqual([])
  const json = jsonLines((await run(['check', file, '--output', 'json'])).stdout)
  expect(json[0]).toMatchObject({
    event: 'error',
    code: 'CONFIG_MISSING_KEY',
    file,
    line: 3,
    key: 'resources.connections.shop.options.host',
  })
})

test('verify: 0 when all are equal, 1 when not', async () => {
  const different: VerifiedTable = { ...equal, isEqual: false, different: 2n, destinationRows: 5n }
  const broken: VerifiedTable = { ...equal, problem: brokenTable.problem }
  const asked: unknown[] = []
  const verifying = (...tables: VerifiedTable[]): Partial<App> => ({
    verify: async ({ tables: names, onTable }) => {
      asked.push(names)
      for (const table of tables) onTable?.(table)
      return { tables }
    },
  })
  const good = await run(['verify'], verifying(equal))
  expect(good.code).toBe(0)
  expect(good.stdout).toContain('1,152,921,504,606,846,976 rows')
  const bad = await run(['verify', 'orders', 'shop.x'], verifying(equal, different))
  expect(bad.code).toBe(1)
  expect(bad.stdout).toContain('0 missing, 0 too many, 2 different')
  expect((await run(['verify'], verifying(broken))).code).toBe(1)
  expect(asked).toEqual([undefined, ['orders', 'shop.x'], undefined])
  const json = jsonLines((await run(['verify', '--output=json'], verifying(equal))).stdout)
  expect(json).toMatchObject([
    { event: 'verified', sourceRows: '1152921504606846976', version: 3 },
    { event: 'finished', unequal: 0 },
  ])
})

test('verify of inserts alone: complete, not comparable, or a difference', async () => {
  const insertsOnly = { kind: 'complete', unmatched: 0n, others: 3n } as const
  const verifying = (table: VerifiedTable): Partial<App> => ({
    verify: async ({ onTable }) => {
      onTable?.(table)
      return { tables: [table] }
    },
  })
  const complete = await run(['verify'], verifying({ ...equal, isEqual: false, insertsOnly }))
  expect(complete.code).toBe(0)
  expect(complete.stdout).toContain('3 more are not there as they came')
  expect(complete.stdout).toContain('0 tables equal, 1 complete')
  const unclear = (kind: 'not comparable' | 'lost'): VerifiedTable => ({
    ...equal,
    isEqual: false,
    insertsOnly: { kind, unmatched: 2n, others: 5n },
  })
  const unknown = await run(['verify'], verifying(unclear('not comparable')))
  expect(unknown.code).toBe(0)
  expect(unknown.stdout).toContain('? not comparable')
  expect(unknown.stdout).toContain('2 rows of the source are not here as they are now')
  expect(unknown.stdout).toContain('0 tables equal, 1 not comparable')
  const lost = await run(['verify'], verifying({ ...unclear('lost'), missing: 4n }))
  expect(lost.code).toBe(1)
  expect(lost.stdout).toContain('4 rows at least are missing here')
  const json = await run(['verify', '--output=json'], verifying(unclear('not comparable')))
  expect(jsonLines(json.stdout)).toMatchObject([
    { event: 'verified', isEqual: false, insertsOnly: { kind: 'not comparable' } },
    { event: 'finished', unequal: 0, complete: 0, not_comparable: 1 },
  ])
})

test('query prints a table, or a JSON object per row', async () => {
  const app: Partial<App> = {
    query: async (sql) => ({
      columns: [{ name: 'id', type: 'BIGINT' }, { name: sql }],
      rows: [
        [2n ** 62n, 'x'],
        [1n, null],
      ],
    }),
  }
  const { code, stdout } = await run(['query', 'SELECT'], app)
  expect(code).toBe(0)
  expect(stdout).toBe(
    [
      '                 id  SELECT',
      '-------------------  ------',
      '4611686018427387904  x',
      '                  1  NULL',
      '(2 rows)',
      '',
    ].join('\n'),
  )
  const json = await run(['query', 'SELECT', '--output', 'json'], app)
  expect(jsonLines(json.stdout)).toEqual([
    { id: '4611686018427387904', SELECT: 'x' },
    { id: 1, SELECT: null },
  ])
  expect(json.opened).toMatchObject([{ dataFolder: '.sluice', catalog: 'existing' }])
})

test('refresh passes names on, or asks for all', async () => {
  const asked: unknown[] = []
  const app: Partial<App> = {
    refresh: async ({ tables }) => {
      asked.push(tables)
      return { progress: () => emptyProgress, done: Promise.resolve(cleanResult) }
    },
  }
  expect((await run(['refresh', 'orders', '--full'], app)).code).toBe(0)
  expect((await run(['refresh', '--all', '--full'], app)).code).toBe(0)
  expect(asked).toEqual([['orders'], undefined])
})

test('a refresh that is no longer waited for goes on where it is made, and says so', async () => {
  const stop = new AbortController()
  stop.abort()
  const left = { ...cleanResult, goesOnElsewhere: true } as const
  const app: Partial<App> = {
    refresh: async () => ({ progress: () => emptyProgress, done: Promise.resolve(left) }),
  }
  const { code, stdout } = await run(['refresh', '--all', '--full'], app, { signal: stop.signal })
  expect(code).toBe(1)
  expect(stdout).toContain('the refresh goes on in the running process')
})

test('events are one JSON object a line, and nothing else goes to standard output', async () => {
  const app = starting(() => Promise.resolve({ ...cleanResult, failedTables: [brokenTable] }))
  const { stdout, code } = await run(['run', resourceFile(), '--output', 'json'], app)
  expect(code).toBe(1)
  expect(jsonLines(stdout).map(({ event }) => event)).toEqual(['progress', 'finished'])
  const failed = await run(['status', '--output', 'json'], {
    status: async () => {
      throw new SluiceError('CATALOG_NOT_FOUND', 'nothing here')
    },
  })
  expect(failed.code).toBe(2)
  expect(jsonLines(failed.stdout)).toMatchObject([{ event: 'error', code: 'CATALOG_NOT_FOUND' }])
  expect(failed.stderr).toBe('')
})
